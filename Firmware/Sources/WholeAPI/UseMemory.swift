import DMA
import DMAMapping

func useDevices(_ seen: inout Expectations, _ machine: SmallMachine) {
  let platform = machine.platform
  let mapping = DirectMapping.make(for: platform, offset: 0)
  let device = DMADevice(
    name: "device", platform: platform, mapping: mapping, busLimit: .max, constraints: .pci)
  seen.expect(isText(device.name, "device") && device.id > 0 && device.platform === platform)
  seen.expect(unsafe device.unsafeCore.pointee.id == device.id)
  seen.expect(unsafe device.unsafeCore.pointee.platform == platform.unsafeCore)
  seen.expect(device.mask == .bits32 && device.coherentMask == .bits32)
  seen.expect(device.supports(.bits24) && !device.supports(DMAMask(bitCount: 16)))
  seen.expect(device.requiredMask.bitCount <= 24 && !device.isAddressingLimited)
  seen.expect(device.maxMappingSize == .max)
  do throws(DMAError) {
    try device.setMask(.bits64)
    try device.setStreamingMask(.bits32)
    try device.setCoherentMask(.bits24)
    let narrow = try DMAConstraints(
      segmentByteCountMax: 4096, segmentBoundaryMask: 0xfff, segmentCountMax: 4,
      minimumAlignmentMask: 7)
    device.constraints = narrow.restricted(by: .pci)
    seen.expect(device.constraints == narrow && narrow.segmentCountMax == 4)
    seen.expect(narrow.segmentByteCountMax == 4096 && narrow.segmentBoundaryMask == 0xfff)
    seen.expect(narrow.minimumAlignmentMask == 7)
  } catch { seen.expect(false) }
  do throws(DMAError) {
    try device.setMask(DMAMask(bitCount: 8))
    seen.expect(false)
  } catch {
    seen.expect(error == .unsupportedMask(DMAMask(bitCount: 8), required: .bits24))
  }
  let core = unsafe device.unsafeCore
  unsafe seen.expect(core.pointee.streamingLimit == 0xffff_ffff)
  unsafe seen.expect(core.pointee.coherentLimit == 0xff_ffff && core.pointee.busLimit == .max)
  unsafe seen.expect(core.pointee.streamingMask == device.mask.rawValue)
  unsafe seen.expect(core.pointee.coherentMask == device.coherentMask.rawValue)
  unsafe seen.expect(core.pointee.directOffset == 0 && core.pointee.mappingContext == nil)
  unsafe seen.expect(core.pointee.constraints == device.constraints)

  let machineCore: UnsafeMutablePointer<PlatformCore> = unsafe platform.unsafeCore
  // As a mapping's own object does for as long as it has pages.
  unsafe PlatformCore.hold(machineCore)
  unsafe PlatformCore.drop(machineCore)
  unsafe seen.expect(machineCore.pointee.lowestLimit == 0xff_ffff)
  unsafe seen.expect(machineCore.pointee.highestAddress > machineCore.pointee.lowestLimit / 16)
  unsafe seen.expect(machineCore.pointee.isCoherent == platform.isCoherent)
  var numbers = DMAStatusNumbers()
  let resolved = unsafe numbers.withWords { words in
    unsafe machineCore.pointee.operations.resolve(machineCore.pointee.context, 1, 1, words)
  }
  seen.expect(resolved == .notDMAable)

  // As a mapping does that puts work off.
  var polls = 0
  unsafe withUnsafeMutablePointer(to: &polls) { polls in
    let poll: PlatformCore.Poll = {
      unsafe $0.assumingMemoryBound(to: Int.self).pointee += 1
    }
    unsafe PlatformCore.addPoller(
      machineCore, every: 1, context: UnsafeMutableRawPointer(polls), poll)
    platform.relax()
    unsafe PlatformCore.removePoller(machineCore, context: UnsafeMutableRawPointer(polls))
  }
  platform.relax(after: 1)
  seen.expect(polls == 1)
  seen.expect(unsafe !PlatformCore.isObserved(machineCore))
  unsafe PlatformCore.reportFault(machineCore, requester: 8, address: 0x5000, isWrite: true)

  let before = platform.nanoseconds
  platform.relax()
  seen.expect(platform.nanoseconds > before)
  do throws(DMAError) {
    try platform.wait(nanoseconds: 5000) { true }
    try platform.wait(nanoseconds: 5000) { false }
    seen.expect(false)
  } catch { seen.expect(error == .timedOut) }

  var messageCount = 0
  let log: DMALog = platform.log
  log.setHandler { (level: DMALogLevel, name, _) in
    if level == .warning && name.utf8.count > 0 { messageCount += 1 }
  }
  device.warn("a warning")
  log.write(.notice, device: "", "a notice")
  log.setHandler(nil)
  seen.expect(messageCount == 1)

  let legacy = DMADevice.legacy(platform: platform, mapping: mapping)
  seen.expect(legacy.mask == .bits24)
  legacy.remove()
  seen.expect(legacy.isRemoved)
}

func useCoherentMemory(_ seen: inout Expectations, _ machine: SmallMachine) {
  let device = makeDevice(machine)
  do throws(DMAError) {
    let words = try CoherentBuffer<UInt32>(count: 8, for: device) { span in
      for index in span.indices { span[index] = UInt32(index) }
    }
    seen.expect(words[7] == 7 && words.count == 8 && words.byteCount == 32)
    words[7] = 70
    seen.expect(words[7] == 70 && words.address(of: 1).rawValue == words.address.rawValue + 4)
    let ring = try CoherentBuffer<Descriptor>(count: 4, for: device)
    ring[3, .address] = words.address.rawValue
    ring[3, .byteCount] = 32
    ring[3, .status] = 1
    seen.expect(ring[3, .status] == 1 && ring[3, .byteCount] == 32)
    seen.expect(device.liveCoherentCount == 2)
  } catch { seen.expect(false) }
  do throws(DMAError) {
    _ = try CoherentBuffer<UInt64>(count: 0, for: device)
    seen.expect(false)
  } catch { seen.expect(error == .emptyRequest) }
  seen.expect(device.liveCoherentCount == 0)
}

func useStreamingMemory(_ seen: inout Expectations, _ machine: SmallMachine) {
  let device = makeDevice(machine)
  let platform = machine.platform
  do throws(DMAError) {
    var buffer = try StreamingBuffer(
      byteCount: 100, in: platform, placement: .below(.bits24), alignment: 4096)
    seen.expect(buffer.byteCount == 100)
    var bytes = buffer.mutableBytes
    bytes.storeBytes(of: 42, toByteOffset: 0, as: UInt8.self)
    let copy = try StreamingBuffer(copying: buffer.bytes, in: platform, placement: .high)
    seen.expect(first(copy) == 42)

    let result: MapResult<ToDevice> = buffer.map(ToDevice.self, for: device)
    var toDevice: StreamingMapping<ToDevice> = try result.get()
    seen.expect(toDevice.byteCount == 100 && toDevice.address.rawValue != 0)
    let written = toDevice.withMutableBytesSyncedForCPU(0..<4) { bytes in
      bytes.storeBytes(of: 43, toByteOffset: 0, as: UInt8.self)
      return bytes.byteCount
    }
    seen.expect(written == 4)
    let back = toDevice.unmap()
    seen.expect(first(back) == 43)

    switch back.map(FromDevice.self, bytes: 10..<20, for: device) {
    case .mapped(let mapping):
      let count = mapping.withBytesSyncedForCPU { bytes in bytes.byteCount }
      seen.expect(count == 10 && mapping.byteCount == 10)
      _ = mapping.unmap()
    case .failed(let buffer, let error):
      seen.expect(buffer.byteCount == 0 && error == .emptyRequest)
    }

    var loaned = try StreamingBuffer(byteCount: 64, for: device)
    do {
      let mapped = try MappedBytes(&loaned, bytes: 0..<16, Bidirectional.self, for: device)
      // Not in one expression: a value that cannot escape may not enter an autoclosure.
      seen.expect(mapped.byteCount == 16)
      seen.expect(mapped.address.rawValue != 0)
    }
    let placement: StreamingBuffer.Placement = .anywhere
    let anywhere = try StreamingBuffer(byteCount: 1, in: platform, placement: placement)
    seen.expect(anywhere.byteCount == 1)

    // Dropped while mapped: held back until the device is quiet.
    do {
      let dropped = try StreamingBuffer(byteCount: 8, in: platform)
        .map(Bidirectional.self, for: device).get()
      seen.expect(dropped.byteCount == 8)
    }
    seen.expect(device.quarantined.mappingCount == 1 && device.quarantined.byteCount == 8)
    seen.expect(device.declareQuiet() == 1)

    let own = UnsafeMutableRawBufferPointer.allocate(byteCount: 16, alignment: 16)
    do {
      let pinned = try unsafe StreamingBuffer(unsafePinning: own, in: platform)
      let mapping = try pinned.map(ToDevice.self, for: device).get()
      seen.expect(mapping.address.rawValue >= SmallMachine.physicalStart * 2)
      _ = mapping.unmap()
    }
    unsafe own.deallocate()
  } catch { seen.expect(false) }
}

/// A device behind the direct mapping of a machine.
func makeDevice(_ machine: SmallMachine) -> DMADevice {
  DMADevice(
    name: "device", platform: machine.platform,
    mapping: DirectMapping.make(for: machine.platform))
}

private func first(_ buffer: borrowing StreamingBuffer) -> UInt8 {
  let bytes = buffer.bytes
  // SAFETY: a buffer has at least one byte.
  return unsafe bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
}
