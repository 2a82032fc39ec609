import DMA

/// Keeps what an observer was told.
@safe
final class Recorder {
  let kinds: UnsafeMutablePointer<[32 of Int]>
  let site: UnsafeMutablePointer<UInt32>

  init() {
    unsafe kinds = .allocate(capacity: 1)
    unsafe kinds.initialize(to: [32 of Int](repeating: 0))
    unsafe site = .allocate(capacity: 1)
    unsafe site.initialize(to: 0)
  }

  deinit {
    unsafe kinds.deallocate()
    unsafe site.deallocate()
  }

  func count(_ kind: DMAEvent.Kind) -> Int { unsafe kinds.pointee[Int(kind.rawValue)] }

  var observer: DMAObserver {
    unsafe DMAObserver(
      receive: { context, event in
        let event = unsafe event.assumingMemoryBound(to: DMAEvent.self)
        let kinds = unsafe context.assumingMemoryBound(to: [32 of Int].self)
        unsafe kinds.pointee[Int(event.pointee.kind.rawValue)] += 1
      }, context: UnsafeMutableRawPointer(kinds), owner: self)
  }
}

func useEvents(_ seen: inout Expectations, _ machine: SmallMachine) {
  let device = makeDevice(machine)
  let recorder = Recorder()
  device.setObserver(recorder.observer)
  do throws(DMAError) {
    try device.setMask(.bits32)
    let coherent = try CoherentBuffer<UInt64>(count: 1, for: device)
    var mapped = try StreamingBuffer(byteCount: 16, in: machine.platform)
      .map(Bidirectional.self, for: device).get()
    mapped.withBytesSyncedForCPU { _ in }
    mapped.withMutableBytesSyncedForCPU { _ in }
    _ = mapped.unmap()
    _ = coherent[0]
  } catch { seen.expect(false) }
  device.declareQuiet()
  device.remove()
  seen.expect(recorder.count(.deviceAdded) == 1 && recorder.count(.deviceRemoved) == 1)
  seen.expect(recorder.count(.map) == 1 && recorder.count(.unmap) == 1)
  seen.expect(recorder.count(.allocate) == 1 && recorder.count(.free) == 1)
  seen.expect(recorder.count(.syncForCPU) == 2 && recorder.count(.syncForDevice) == 2)
  seen.expect(recorder.count(.maskSet) == 1 && recorder.count(.deviceQuiet) == 1)
  device.setObserver(nil)
  useEventRecord(&seen)
}

/// The record, as those fill it who make events themselves.
private func useEventRecord(_ seen: inout Expectations) {
  let site = CallSite(#fileID, #line)
  unsafe seen.expect(site.fileName.count > 0 && site.line > 0 && site.description.utf8.count > 0)
  let inC = unsafe CallSite(file: nil, fileByteCount: 0, line: 3)
  seen.expect(inC.line == 3)
  var event = DMAEvent(.fault, family: .none, device: 1)
  event.kind = .mapScatter
  event.family = .scatter
  event.known = [
    .dmaAddress, .physicalAddress, .cpuAddress, .byteCount, .direction, .entryCount,
    .segmentCount, .attributes, .segmentAddresses, .segmentPhysicalAddresses, .segmentByteCounts,
    .truncated,
  ]
  event.direction = .toDevice
  event.memoryKind = .pages
  event.isErrorCheckExpected = true
  seen.expect(event.isErrorCheckExpected && event.memoryKind == .pages)
  event.status = .success
  event.device = 2
  event.pool = 3
  event.attributes = 4
  event.token = 5
  event.dmaAddress = 6
  event.physicalAddress = 7
  event.cpuAddress = 8
  event.byteCount = 9
  event.entryCount = 1
  event.segmentCount = 1
  var segment = DMAEvent.Segment(dmaAddress: 6, physicalAddress: 7, byteCount: 9)
  segment.byteCount += segment.dmaAddress + segment.physicalAddress
  unsafe withUnsafePointer(to: segment) { pointer in
    unsafe event.segments = UnsafeBufferPointer(start: pointer, count: 1)
    unsafe seen.expect(event.segments[0].byteCount == 22)
  }
  seen.expect(event.known == DMAEvent.Known(rawValue: 0xfff) && event.pool + event.device == 5)
  seen.expect(event.attributes + event.entryCount + event.segmentCount == 6)
  seen.expect(event.token + event.dmaAddress + event.physicalAddress + event.cpuAddress == 26)
  var origin = TraceOrigin(line: 1, time: 2, cpu: 3, task: 4, taskName: 5, stack: 6)
  origin.line += origin.time
  origin.cpu += origin.taskName + origin.stack
  origin.task += 1
  event.origin = .trace(origin)
  if case .trace(let origin) = event.origin { seen.expect(origin.line == 3 && origin.cpu == 14) }
  event.origin = .callSite(site)
  if case .callSite(let site) = event.origin { seen.expect(site.line > 0) }
  let origins: DMAEvent.Origin = .unknown
  event.origin = origins

  let kinds: [DMAEvent.Kind] = [
    .deviceAdded, .deviceRemoved, .deviceQuiet, .maskSet, .maskRefused, .allocate, .free, .map,
    .unmap, .mapScatter, .unmapScatter, .syncForCPU, .syncForDevice, .syncScatterForCPU,
    .syncScatterForDevice, .errorChecked, .poolCreate, .poolDestroy, .poolAllocate, .poolFree,
    .poolCorrupted, .dropped, .fault, .loss, .mark,
  ]
  let families: [DMAEvent.Family] = [
    .none, .coherent, .pages, .noncontiguous, .single, .resource, .physical, .scatter, .pool,
  ]
  seen.expect(kinds.count == 25 && families.count == 9)
}
