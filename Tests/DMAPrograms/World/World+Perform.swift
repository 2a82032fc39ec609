import DMA
import PCI

extension World {
  /// Does one step.
  @discardableResult
  public func perform(_ op: Op) -> Outcome {
    do throws(DMAError) {
      switch op.kind {
      case .map: try map(op)
      case .unmap: try unmap(op)
      case .syncForCPU, .syncForDevice: try sync(op)
      case .checkError: checkError(op)
      case .cpuWrite, .cpuRead: useByCPU(op)
      case .deviceRead, .deviceWrite: useByDevice(op)
      case .mapList: try mapList(op)
      case .unmapList: try unmapList(op)
      case .syncListForCPU, .syncListForDevice: try syncList(op)
      case .allocate: try allocate(op)
      case .free: try free(op)
      case .poolAllocate: try poolAllocate(op)
      case .poolFree: try poolFree(op)
      case .poolDestroy: try pools[op.device][op.pool].destroy(line: op.line)
      case .mapValue: try mapValue(op)
      case .unmapValue, .dropValue: endValue(op)
      case .setMask:
        try devices[op.device].setMask(DMAMask(bitCount: op.maskBits), line: op.line)
      case .freePage: reportFree(op)
      case .stopMastering: cards[op.device].disableBusMastering()
      }
      return .done
    } catch {
      return note(error, op.line)
    }
  }

  private func site(_ op: Op) -> CallSite { CallSite(#fileID, op.line) }

  private func handle(_ item: Item, _ op: Op) -> DMAAddress {
    if op.isErrorValue { return DMAAddress(rawValue: .max) }
    let first = item.segments.first?.address ?? 0
    return DMAAddress(rawValue: first &+ UInt64(bitPattern: op.addressDelta))
  }

  // MARK: Regions

  private func map(_ op: Op) throws(DMAError) {
    let cpuAddress = address(op.memory, op.page) + UInt(op.offset)
    let address = try devices[op.device].mapSingle(
      cpuAddress: cpuAddress, byteCount: op.byteCount, direction: op.direction,
      isErrorCheckExpected: op.isErrorCheckExpected, site: site(op))
    items[op.item] = Item(
      kind: .region, device: op.device, direction: op.direction,
      segments: [Item.Segment(address: address.rawValue, byteCount: op.byteCount)],
      cpuAddress: cpuAddress, byteCount: op.byteCount)
  }

  private func unmap(_ op: Op) throws(DMAError) {
    guard let item = items[op.item] else { return }
    let device = devices[op.device]
    let byteCount = op.byteCount + op.countDelta
    if op.isOtherFamily {
      try unsafe device.freeConsistent(
        byteCount: byteCount, cpuAddress: UnsafeMutableRawPointer(bitPattern: item.cpuAddress),
        address: handle(item, op), site: site(op))
    } else {
      try device.unmapSingle(
        handle(item, op), byteCount: byteCount, direction: op.direction, site: site(op))
    }
    end(op.item)
  }

  private func end(_ number: Int) {
    items[number]?.isLive = false
    // Long programs must not remember all they ever had.
    if !isTruthWanted, !keepsEnded { items[number] = nil }
  }

  private func sync(_ op: Op) throws(DMAError) {
    guard let item = items[op.item] else { return }
    var address = handle(item, op)
    if !op.isErrorValue { address = address.advanced(by: op.offset) }
    try devices[op.device].syncSingle(
      address, byteCount: op.byteCount + op.countDelta, direction: op.direction,
      forCPU: op.kind == .syncForCPU, site: site(op))
    items[op.item]?.isCPUOwned = op.kind == .syncForCPU
  }

  private func checkError(_ op: Op) {
    guard let item = items[op.item] else { return }
    devices[op.device].noteErrorCheck(handle(item, op), site: site(op))
  }

  // MARK: Uses

  private func useByCPU(_ op: Op) {
    guard let item = items[op.item],
      let start = unsafe UnsafeMutableRawPointer(bitPattern: item.cpuAddress)
    else { return }
    // SAFETY: items' bytes are pages of the machine, which stay; the part lies inside.
    let bytes = unsafe UnsafeMutableRawBufferPointer(
      start: start + op.offset, count: op.byteCount)
    if op.kind == .cpuWrite {
      for index in bytes.indices { unsafe bytes[index] = op.value }
    } else {
      // The bytes are read in any case: guard pages see it.
      note(read: unsafe sum(bytes), op.line)
    }
  }

  private func useByDevice(_ op: Op) {
    guard let item = items[op.item], !item.segments.isEmpty else { return }
    // A part of a list is a part of one of its segments.
    let segment = item.segments[min(op.page, item.segments.count - 1)]
    let address = segment.address &+ UInt64(op.offset) &+ UInt64(bitPattern: op.addressDelta)
    let limit = max(1, segment.byteCount - op.offset)
    let byteCount = min(op.byteCount, limit) + op.countDelta
    let isWrite = op.kind == .deviceWrite
    noteAccess(op.device, address, byteCount, isWrite: isWrite)
    if isWrite {
      probes[op.device].write(address, op.value, byteCount: byteCount)
    } else {
      note(read: probes[op.device].read(address, byteCount: byteCount), op.line)
    }
  }

  // MARK: Lists

  private func mapList(_ op: Op) throws(DMAError) {
    let device = devices[op.device]
    var entries: [ScatterEntry] = []
    for entry in op.entries {
      entries.append(
        try device.scatterEntry(
          cpuAddress: pages[entry.page] + UInt(entry.offset), byteCount: entry.byteCount))
    }
    let list = EntryList(entries)
    let count = try unsafe device.mapScatter(
      list.entries, direction: op.direction, site: site(op))
    var segments: [Item.Segment] = []
    for index in 0..<count {
      let entry = unsafe list.entries[index]
      segments.append(Item.Segment(address: entry.dmaAddress, byteCount: entry.dmaByteCount))
    }
    items[op.item] = Item(
      kind: .list, device: op.device, direction: op.direction, segments: segments,
      cpuAddress: entries[0].cpuAddress, byteCount: entries[0].byteCount, list: list)
  }

  private func unmapList(_ op: Op) throws(DMAError) {
    guard let item = items[op.item], let list = item.list else { return }
    try unsafe devices[op.device].unmapScatter(
      list.entries, count: list.entries.count + op.countDelta, direction: op.direction,
      site: site(op))
    end(op.item)
  }

  private func syncList(_ op: Op) throws(DMAError) {
    guard let item = items[op.item], let list = item.list else { return }
    try unsafe devices[op.device].syncScatter(
      list.entries, count: list.entries.count + op.countDelta, direction: op.direction,
      forCPU: op.kind == .syncListForCPU, site: site(op))
  }

  // MARK: Coherent memory and pools

  private func allocate(_ op: Op) throws(DMAError) {
    let memory = try devices[op.device].allocateConsistent(
      byteCount: op.byteCount, site: site(op))
    items[op.item] = unsafe Item(
      kind: .coherent, device: op.device, direction: .bidirectional,
      segments: [Item.Segment(address: memory.address.rawValue, byteCount: op.byteCount)],
      cpuAddress: UInt(bitPattern: memory.cpuAddress), byteCount: op.byteCount, memory: memory)
  }

  private func free(_ op: Op) throws(DMAError) {
    guard let item = items[op.item], let memory = item.memory else { return }
    if op.isOtherFamily {
      try devices[op.device].unmapSingle(
        handle(item, op), byteCount: op.byteCount, direction: .bidirectional, site: site(op))
    } else {
      try unsafe devices[op.device].freeConsistent(
        byteCount: op.byteCount + op.countDelta, cpuAddress: memory.cpuAddress + op.cpuDelta,
        address: handle(item, op), site: site(op))
    }
    end(op.item)
  }

  private func poolAllocate(_ op: Op) throws(DMAError) {
    let memory = try pools[op.device][op.pool].allocateRaw(site(op))
    items[op.item] = unsafe Item(
      kind: .block, device: op.device, direction: .bidirectional,
      segments: [
        Item.Segment(address: memory.address.rawValue, byteCount: Self.blockByteCount)
      ], cpuAddress: UInt(bitPattern: memory.cpuAddress), byteCount: Self.blockByteCount,
      memory: memory, pool: op.pool)
  }

  private func poolFree(_ op: Op) throws(DMAError) {
    guard let item = items[op.item], let memory = item.memory else { return }
    try unsafe pools[op.device][op.pool].freeRaw(
      cpuAddress: memory.cpuAddress + op.cpuDelta, address: handle(item, op), site(op))
    end(op.item)
  }

  // MARK: Values

  private func mapValue(_ op: Op) throws(DMAError) {
    let device = devices[op.device]
    let buffer = try StreamingBuffer(byteCount: op.byteCount, for: device)
    let address: DMAAddress
    let box: ValueBox
    switch op.direction {
    case .toDevice:
      let mapping = try buffer.map(ToDevice.self, for: device, file: #fileID, line: op.line).get()
      address = mapping.address
      box = ValueBox(.toDevice(mapping))
    case .fromDevice:
      let mapping = try buffer.map(FromDevice.self, for: device, file: #fileID, line: op.line)
        .get()
      address = mapping.address
      box = ValueBox(.fromDevice(mapping))
    case .bidirectional:
      let mapping = try buffer.map(Bidirectional.self, for: device, file: #fileID, line: op.line)
        .get()
      address = mapping.address
      box = ValueBox(.bidirectional(mapping))
    }
    items[op.item] = Item(
      kind: .value, device: op.device, direction: op.direction,
      segments: [Item.Segment(address: address.rawValue, byteCount: op.byteCount)],
      cpuAddress: 0, byteCount: op.byteCount, value: box)
  }

  private func endValue(_ op: Op) {
    guard let item = items[op.item], let box = item.value else { return }
    let mapping = box.take()
    if op.kind == .unmapValue {
      switch consume mapping {
      case .none: break
      case .toDevice(let mapping): _ = mapping.unmap(file: #fileID, line: op.line)
      case .fromDevice(let mapping): _ = mapping.unmap(file: #fileID, line: op.line)
      case .bidirectional(let mapping): _ = mapping.unmap(file: #fileID, line: op.line)
      }
    } else {
      _ = consume mapping
    }
    end(op.item)
  }
}
