import DMA
import DMAMapping

/// A mapping that a user of the library writes: bus addresses have bit 32 set.
@safe
final class OwnMapping {
  let operations: UnsafeMutablePointer<MappingOperations>
  let counter: UnsafeMutablePointer<Int>

  static let busBit: UInt64 = 1 << 32

  init() {
    unsafe counter = .allocate(capacity: 1)
    unsafe counter.initialize(to: 0)
    unsafe operations = .allocate(capacity: 1)
    unsafe operations.initialize(
      to: MappingOperations(
        map: { core, _, physicalAddress, byteCount, traits, numbers in
          let core = unsafe core.assumingMemoryBound(to: DMADeviceCore.self)
          guard let context = unsafe core.pointee.mappingContext else {
            return DMAStatus.machine.rawValue
          }
          let traits = MappingTraits(rawValue: traits)
          guard traits.attributes == 0, byteCount > 0 else {
            return DMAStatus.emptyRequest.rawValue
          }
          unsafe context.assumingMemoryBound(to: Int.self).pointee += 1
          unsafe numbers[0] = physicalAddress | OwnMapping.busBit
          return DMAStatus.success.rawValue
        },
        unmap: { core, _, _, _, _, _ in
          let core = unsafe core.assumingMemoryBound(to: DMADeviceCore.self)
          unsafe core.pointee.mappingContext?.assumingMemoryBound(to: Int.self).pointee -= 1
          return DMAStatus.success.rawValue
        },
        sync: { _, _, _, _, traits, _ in
          let traits = MappingTraits(rawValue: traits)
          // Nothing is kept apart here; a sync of a from-device mapping comes from both sides.
          return traits.isForCPU || traits.direction == .fromDevice
            ? DMAStatus.success.rawValue : DMAStatus.machine.rawValue
        },
        mapScatter: { _, entries, count, _, numbers in
          let entries = unsafe entries.assumingMemoryBound(to: ScatterEntry.self)
          for index in 0..<count {
            unsafe entries[index].dmaAddress = entries[index].physicalAddress | OwnMapping.busBit
            unsafe entries[index].dmaByteCount = entries[index].byteCount
          }
          unsafe numbers[0] = UInt64(count)
          return DMAStatus.success.rawValue
        },
        unmapScatter: { _, _, _, _, _ in DMAStatus.success.rawValue },
        syncScatter: { _, _, _, _, _ in DMAStatus.success.rawValue },
        allocateCoherent: { _, byteCount, numbers in
          unsafe numbers[0] = UInt64(byteCount)
          return DMAStatus.outOfAddressSpace.rawValue
        },
        freeCoherent: { _, _, _, _, _ in },
        narrowestMask: { _ in DMAMask(bitCount: 33).rawValue },
        requiredMask: { _ in DMAMask(bitCount: 33).rawValue },
        maxMappingSize: { _ in 1 << 20 },
        detach: { _ in }))
  }

  deinit {
    unsafe operations.deinitialize(count: 1)
    unsafe operations.deallocate()
    unsafe counter.deallocate()
  }
}

func useOwnMapping(_ seen: inout Expectations, _ machine: SmallMachine) {
  let own = OwnMapping()
  let mapping = unsafe DMAMapping(
    name: "own", operations: UnsafePointer(own.operations),
    context: UnsafeMutableRawPointer(own.counter), owner: own)
  seen.expect(mapping.name.utf8CodeUnitCount == 3)
  let device = DMADevice(name: "translated", platform: machine.platform, mapping: mapping)
  do throws(DMAError) {
    try device.setMask(.bits64)
    let mapped = try StreamingBuffer(byteCount: 64, in: machine.platform)
      .map(FromDevice.self, for: device).get()
    seen.expect(mapped.address.rawValue & OwnMapping.busBit != 0)
    seen.expect(unsafe own.counter.pointee == 1)
    mapped.withBytesSyncedForCPU { _ in }
    _ = mapped.unmap()
    seen.expect(unsafe own.counter.pointee == 0)
  } catch { seen.expect(false) }
  do throws(DMAError) {
    _ = try CoherentBuffer<UInt64>(count: 1, for: device)
    seen.expect(false)
  } catch { seen.expect(error == .outOfAddressSpace(byteCount: 4096, limit: 0)) }

  var entry = ScatterEntry(cpuAddress: 1, physicalAddress: 0x1000, byteCount: 64)
  seen.expect(entry.dmaAddress == .max && entry.dmaByteCount == 0 && entry.cpuAddress == 1)
  var numbers = DMAStatusNumbers()
  let operations = unsafe device.unsafeCore.pointee.operations
  let core = unsafe UnsafeMutableRawPointer(device.unsafeCore)
  let traits = MappingTraits(.toDevice, attributes: 0)
  unsafe withUnsafeMutablePointer(to: &entry) { entry in
    let list = UnsafeMutableRawPointer(entry)
    let status = unsafe numbers.withWords { words in
      unsafe operations.pointee.mapScatter(core, list, 1, traits.rawValue, words)
    }
    seen.expect(status == .success)
    let rest = unsafe numbers.withWords { words in
      unsafe operations.pointee.syncScatter(core, list, 1, traits.forCPU.rawValue, words)
        | operations.pointee.unmapScatter(core, list, 1, traits.rawValue, words)
    }
    seen.expect(rest == .success)
  }
  seen.expect(entry.dmaAddress == 0x1000 | OwnMapping.busBit && entry.dmaByteCount == 64)
  seen.expect(device.maxMappingSize == 1 << 20 && device.requiredMask.bitCount == 33)

  // A machine whose devices do not see the cache: the direct mapping maintains it.
  let incoherent = SmallMachine(isCoherent: false)
  let direct = makeDevice(incoherent)
  do throws(DMAError) {
    let mapped = try StreamingBuffer(byteCount: 64, in: incoherent.platform)
      .map(ToDevice.self, for: direct).get()
    _ = mapped.unmap()
  } catch { seen.expect(false) }
  seen.expect(incoherent.maintenanceCount > 0)
  let operation: CacheOperation = [.clean, .invalidate]
  seen.expect(operation == CacheOperation(rawValue: 3))
  seen.expect(PageOptions.uncached.union(.high) == PageOptions(rawValue: 3))
}
