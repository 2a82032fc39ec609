/// A VT-d remapping unit as the DMAR table names it.
///
/// (VT-d specification, "DMA Remapping Hardware Unit
/// Definition Structure").
public struct RemappingUnit: Equatable, Sendable {
  /// The physical address of its registers.
  public var registers: UInt64
  /// The PCI segment of its devices.
  public var segment: UInt16
  /// Whether it has all devices of the segment that no other unit names.
  public var coversRest: Bool
  /// The devices that are named for it: bus, device and function in 8, 5 and 3 bits.
  ///
  /// Bridges stand for themselves here, not for what is behind them.
  public var requesters: [UInt16]

  public init(registers: UInt64, segment: UInt16, coversRest: Bool, requesters: [UInt16] = []) {
    self.registers = registers
    self.segment = segment
    self.coversRest = coversRest
    self.requesters = requesters
  }
}

extension [RemappingUnit] {
  /// The unit that a device's accesses go through: one that names it, or the one that has the rest;
  /// nil where none does.
  public func unit(for requester: UInt16, segment: UInt16 = 0) -> RemappingUnit? {
    first { $0.segment == segment && $0.requesters.contains(requester) }
      ?? first { $0.segment == segment && $0.coversRest }
  }
}

extension ACPITables {
  /// The remapping units, in the table's order; empty when the machine has none.
  ///
  /// Memory that the table reserves for devices the firmware drives (RMRR) is not told: whoever
  /// attaches such a device must map it.
  ///
  /// - Throws: `ACPIError`.
  public func remappingUnits() throws(ACPIError) -> [RemappingUnit] {
    guard let table = try table("DMAR") else { return [] }
    var units: [RemappingUnit] = []
    // Host address width and flags come before the structures.
    try forEachStructure(of: table, from: 48, to: table.byteCount, 2) {
      offset, type, byteCount throws(ACPIError) in
      // Type 0: a unit's definition (DRHD), 16 bytes and the devices in its scope.
      guard type == 0 else { return }
      guard byteCount >= 16 else { throw .truncated(at: table.address) }
      units.append(
        RemappingUnit(
          registers: try number(in: table, at: offset + 8, byteCount: 8),
          segment: UInt16(try number(in: table, at: offset + 6, byteCount: 2)),
          coversRest: try number(in: table, at: offset + 4, byteCount: 1) & 1 != 0,
          requesters: try requesters(of: table, from: offset + 16, to: offset + byteCount)))
    }
    return units
  }

  /// The functions and bridges of a device scope that a path of one step names.
  ///
  /// Longer paths lead through bridges, whose bus numbers only configuration space has.
  private func requesters(
    of table: ACPITable, from start: UInt64, to end: UInt64
  ) throws(ACPIError) -> [UInt16] {
    var requesters: [UInt16] = []
    try forEachStructure(of: table, from: start, to: end, 1) {
      offset, type, byteCount throws(ACPIError) in
      // Type 1: a function; 2: a bridge and what is behind it. Others are no PCI functions.
      guard type == 1 || type == 2, byteCount == 8 else { return }
      let bus = try number(in: table, at: offset + 5, byteCount: 1)
      let device = try number(in: table, at: offset + 6, byteCount: 1)
      let function = try number(in: table, at: offset + 7, byteCount: 1)
      guard device < 32, function < 8 else { throw .truncated(at: table.address) }
      requesters.append(UInt16(bus << 8 | device << 3 | function))
    }
    return requesters
  }

  /// Walks structures that begin with a type and a length of `width` bytes each.
  private func forEachStructure(
    of table: ACPITable, from start: UInt64, to end: UInt64, _ width: UInt64,
    _ body: (UInt64, UInt64, UInt64) throws(ACPIError) -> Void
  ) throws(ACPIError) {
    var offset = start
    while offset < end {
      let type = try number(in: table, at: offset, byteCount: width)
      let byteCount = try number(in: table, at: offset + width, byteCount: width)
      guard byteCount >= 2 * width, byteCount <= end - offset else {
        throw .truncated(at: table.address)
      }
      try body(offset, type, byteCount)
      offset += byteCount
    }
  }
}
