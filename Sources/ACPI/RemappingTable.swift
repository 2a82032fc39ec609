/// A VT-d remapping unit as the DMAR table names it (VT-d specification 4.1, 8.3).
@frozen
public struct RemappingUnit: Equatable, Sendable {
  /// The physical address of its registers.
  public var registers: UInt64
  /// The PCI segment of its devices.
  public var segment: UInt16
  /// Whether it has all devices of the segment that no other unit names.
  public var coversRest: Bool

  public init(registers: UInt64, segment: UInt16, coversRest: Bool) {
    self.registers = registers
    self.segment = segment
    self.coversRest = coversRest
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
    // Host address width and flags come before the structures (8.1).
    var offset: UInt64 = 48
    while offset < table.byteCount {
      let type = try number(in: table, at: offset, byteCount: 2)
      let byteCount = try number(in: table, at: offset + 2, byteCount: 2)
      guard byteCount >= 4, byteCount <= table.byteCount - offset else {
        throw .truncated(at: table.address)
      }
      // Type 0: a unit's definition (DRHD), 16 bytes and the devices in its scope.
      if type == 0 {
        guard byteCount >= 16 else { throw .truncated(at: table.address) }
        units.append(
          RemappingUnit(
            registers: try number(in: table, at: offset + 8, byteCount: 8),
            segment: UInt16(try number(in: table, at: offset + 6, byteCount: 2)),
            coversRest: try number(in: table, at: offset + 4, byteCount: 1) & 1 != 0))
      }
      offset += byteCount
    }
    return units
  }
}
