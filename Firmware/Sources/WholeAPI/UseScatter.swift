import DMA

func useScatterLists(_ seen: inout Expectations, _ machine: SmallMachine) {
  let device = makeDevice(machine)
  let platform = machine.platform
  do throws(DMAError) {
    var list = try ScatterBuffer(
      byteCount: 6000, in: platform, pieceByteCount: 4096, placement: .anywhere)
    seen.expect(list.entryCount == 2 && list.byteCount == 6000)
    list.append(try StreamingBuffer(byteCount: 100, in: platform))
    list.append(try StreamingBuffer(byteCount: 100, in: platform), bytes: 10..<20)
    seen.expect(list.byteCount == 6110)
    seen.expect(size(list.removeLast()) == 100)
    write(&list, entry: 1, 0x33)
    seen.expect(read(list, entry: 1) == 0x33)
    copyThrough(&list, &seen)

    let result: ScatterMapResult<Bidirectional> = list.map(Bidirectional.self, for: device)
    var mapping: ScatterMapping<Bidirectional> = try result.get()
    seen.expect(mapping.segmentCount == 3 && mapping.entryCount == 3)
    seen.expect(mapping.byteCount == 6100 && addressesAreKnown(mapping))
    let count = mapping.withBytesSyncedForCPU { (bytes: ScatterBytes) in
      bytes.bytes(of: 0).byteCount + bytes.count
    }
    seen.expect(count == 4099)
    let part = mapping.withBytesSyncedForCPU(ofEntry: 1, 0..<4) { bytes in bytes.byteCount }
    seen.expect(part == 4)
    mapping.withMutableBytesSyncedForCPU { (bytes: inout MutableScatterBytes) in
      var entry = bytes.bytes(of: 0)
      entry.storeBytes(of: 0x44, toByteOffset: 0, as: UInt8.self)
    }
    mapping.withMutableBytesSyncedForCPU(ofEntry: 2, nil) { bytes in
      bytes.storeBytes(of: 0x55, toByteOffset: 0, as: UInt8.self)
    }
    let back = mapping.unmap()
    seen.expect(read(back, entry: 0) == 0x44 && read(back, entry: 2) == 0x55)

    switch back.mapEach(ToDevice.self, for: device) {
    case .mapped(let mapping):
      seen.expect(mapping.segmentCount == 3)
      _ = mapping.unmap()
    case .failed(let list, let error):
      seen.expect(list.entryCount == 0 && error == .emptyRequest)
    }
    let empty = ScatterBuffer(capacity: 1)
    if case .failed(_, let error) = empty.map(ToDevice.self, for: device) {
      seen.expect(error == .emptyRequest)
    } else {
      seen.expect(false)
    }
  } catch { seen.expect(false) }
  let address = DMAAddress(rawValue: 1)
  seen.expect(
    DMASegment(address: address, byteCount: 2) != DMASegment(address: address, byteCount: 3))
}

private func size(_ buffer: consuming StreamingBuffer?) -> Int { buffer?.byteCount ?? 0 }

private func read(_ list: borrowing ScatterBuffer, entry: Int) -> UInt8 {
  let bytes = list.bytes(of: entry)
  // SAFETY: an entry has at least one byte.
  return unsafe bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
}

private func write(_ list: inout ScatterBuffer, entry: Int, _ value: UInt8) {
  var bytes = list.mutableBytes(of: entry)
  bytes.storeBytes(of: value, toByteOffset: 0, as: UInt8.self)
}

private func copyThrough(_ list: inout ScatterBuffer, _ seen: inout Expectations) {
  let own = UnsafeMutableRawBufferPointer.allocate(byteCount: 8, alignment: 8)
  unsafe own.storeBytes(of: 0x1122_3344_5566_7788, as: UInt64.self)
  // SAFETY: the memory is this function's, and outlives both spans.
  let source = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(own))
  list.copyBytes(from: source)
  unsafe own.storeBytes(of: 0, as: UInt64.self)
  var target = unsafe MutableRawSpan(_unsafeBytes: own)
  list.copyBytes(to: &target)
  seen.expect(unsafe own.load(as: UInt64.self) == 0x1122_3344_5566_7788)
  unsafe own.deallocate()
}

private func addressesAreKnown(_ mapping: borrowing ScatterMapping<Bidirectional>) -> Bool {
  var total = 0
  for index in 0..<mapping.segmentCount {
    let segment: DMASegment = mapping.segment(at: index)
    guard segment.address.rawValue != 0 else { return false }
    total += segment.byteCount
  }
  return total == mapping.byteCount
}
