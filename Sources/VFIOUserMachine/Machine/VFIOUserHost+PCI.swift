internal import DMA
internal import MachineHost
internal import PCI

extension VFIOUserHost {
  /// Where BARs are put; nothing else lies on this bus.
  static let barWindow: ClosedRange<UInt64> = 0xc000_0000...0xfebf_ffff

  func mapBAR(
    _ address: UInt32, _ index: Int, start: UInt64, _ byteCount: Int,
    _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    // Memory of this process where all of it is; else calls, which are told the region.
    numbers = DMAStatusNumbers(UInt64(wholeMapping(index, byteCount) ?? 0), UInt64(index))
    return .success
  }

  func allocateMessage(
    _ address: UInt32, _ index: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    guard let message = interrupts.allocate(vector: index) else {
      // ENOSPC.
      numbers = DMAStatusNumbers(28)
      return .machine
    }
    numbers = DMAStatusNumbers(
      Interrupts.messageAddress, UInt64(Interrupts.data(message)), UInt64(message))
    return .success
  }

  func freeMessage(_ handle: UInt64) { interrupts.free(Int(handle)) }

  func takeInterrupt(_ handle: UInt64) -> Bool {
    if interrupts.take(Int(handle)) { return true }
    // It may be waiting for memory before it signals.
    client.serve()
    return interrupts.take(Int(handle))
  }

  private func wholeMapping(_ index: Int, _ byteCount: Int) -> UInt? {
    guard index < regions.count, interrupts.table?.region != index,
      regions[index].info.isReadable, regions[index].info.isWritable
    else { return nil }
    return regions[index].areas.first?.address(of: 0, byteCount)
  }

  // MARK: Registers

  func readRegister(_ window: UInt64, _ offset: Int, _ byteCount: Int) -> UInt64 {
    let (index, offset) = (Int(window), UInt64(offset))
    let region = regions[index]
    // A BAR is a power of two; the region behind it may be shorter.
    guard region.info.isReadable, offset + UInt64(byteCount) <= region.info.byteCount else {
      return .max
    }
    if let place = interrupts.tableOffset(index, offset, byteCount) {
      return interrupts.readTable(place, byteCount)
    }
    for area in region.areas {
      guard let address = area.address(of: offset, byteCount) else { continue }
      return Self.loadRegister(address, byteCount)
    }
    do throws(VFIOUserError) {
      return try client.readRegion(index, at: offset, byteCount: byteCount)
    } catch {
      note(error)
      return .max
    }
  }

  func writeRegister(_ window: UInt64, _ offset: Int, _ byteCount: Int, _ value: UInt64) {
    pace.restart()
    let (index, offset) = (Int(window), UInt64(offset))
    let region = regions[index]
    guard region.info.isWritable, offset + UInt64(byteCount) <= region.info.byteCount else {
      return
    }
    if let place = interrupts.tableOffset(index, offset, byteCount) {
      return writeTable(index, offset, place, byteCount, value)
    }
    for area in region.areas {
      guard let address = area.address(of: offset, byteCount) else { continue }
      return Self.storeRegister(address, byteCount, value)
    }
    do throws(VFIOUserError) {
      try client.writeRegion(index, at: offset, byteCount: byteCount, value)
    } catch { note(error) }
  }

  /// Some servers keep a table too, and mask by it; others have none and refuse.
  private func writeTable(
    _ index: Int, _ offset: UInt64, _ place: Int, _ byteCount: Int, _ value: UInt64
  ) {
    do throws(VFIOUserError) {
      try client.writeRegion(index, at: offset, byteCount: byteCount, value)
    } catch {
      if case .refused = error {} else { note(error) }
    }
    do throws(VFIOUserError) {
      try interrupts.writeTable(place, byteCount, value, client)
    } catch { note(error) }
  }

  private static func loadRegister(_ address: UInt, _ byteCount: Int) -> UInt64 {
    switch byteCount {
    case 1: UInt64(UInt8.volatileLoad(at: address))
    case 2: UInt64(UInt16.volatileLoad(at: address))
    case 4: UInt64(UInt32.volatileLoad(at: address))
    default: UInt64.volatileLoad(at: address)
    }
  }

  private static func storeRegister(_ address: UInt, _ byteCount: Int, _ value: UInt64) {
    switch byteCount {
    case 1: UInt8.volatileStore(UInt8(truncatingIfNeeded: value), at: address)
    case 2: UInt16.volatileStore(UInt16(truncatingIfNeeded: value), at: address)
    case 4: UInt32.volatileStore(UInt32(truncatingIfNeeded: value), at: address)
    default: UInt64.volatileStore(value, at: address)
    }
  }

  // MARK: Configuration space

  /// Whether the server has these bytes; its device is the only function of the bus.
  private func isThere(_ address: UInt32, _ offset: Int, _ byteCount: Int) -> Bool {
    let size = regions[VFIOIndex.configurationRegion].info.byteCount
    return address == 0 && offset >= 0 && UInt64(offset) + UInt64(byteCount) <= size
  }

  func readConfiguration(_ address: UInt32, _ offset: Int, _ byteCount: Int) -> UInt32 {
    guard isThere(address, offset, byteCount) else { return .max }
    if let value = bars.read(offset, byteCount) { return value }
    do throws(VFIOUserError) {
      return UInt32(
        truncatingIfNeeded: try client.readRegion(
          VFIOIndex.configurationRegion, at: UInt64(offset), byteCount: byteCount))
    } catch {
      note(error)
      return .max
    }
  }

  func writeConfiguration(
    _ address: UInt32, _ offset: Int, _ byteCount: Int, _ value: UInt32
  ) {
    pace.restart()
    guard isThere(address, offset, byteCount), !bars.write(offset, byteCount, value) else {
      return
    }
    do throws(VFIOUserError) {
      try interrupts.configurationWrite(offset, byteCount, value, client)
    } catch { note(error) }
    do throws(VFIOUserError) {
      try client.writeRegion(
        VFIOIndex.configurationRegion, at: UInt64(offset), byteCount: byteCount, UInt64(value))
    } catch { note(error) }
  }
}
