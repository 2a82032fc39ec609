import ACPI
import TestSupport
import Testing

@Suite struct ACPITablesTests {
  /// Two units behind a root table of narrow entries, with another table before them.
  private func remappingMachine(
    _ structures: [UInt8] = unitDefinition(0xfed9_0000, flags: 1, segment: 0)
  ) -> TableMemory {
    var memory = TableMemory()
    memory.putRootPointer(at: 0xf_5ad0, narrow: 0x7ffe_0000)
    memory.putTable(
      "RSDT", little(UInt32(0x7ffe_1000)) + little(UInt32(0x7ffe_2000)), at: 0x7ffe_0000)
    memory.putTable("FACP", [1, 2, 3], at: 0x7ffe_1000)
    memory.putTable("DMAR", remappingHead + structures, at: 0x7ffe_2000)
    return memory
  }

  private func units(
    _ memory: TableMemory, root: UInt64 = 0xf_5ad0
  ) throws(ACPIError) -> [RemappingUnit] {
    try ACPITables(rootPointer: root) { memory[$0] }.remappingUnits()
  }

  @Test func `a unit is found through narrow entries`() throws {
    #expect(
      try units(remappingMachine()) == [
        RemappingUnit(registers: 0xfed9_0000, segment: 0, coversRest: true)
      ])
  }

  @Test func `wide entries are taken where there are both`() throws {
    var memory = TableMemory()
    memory.putRootPointer(at: 0x9_fc00, narrow: 0x1000, wide: 0x1_2345_6000)
    memory.putTable("XSDT", little(UInt64(0x2_0000_0000)), at: 0x1_2345_6000)
    memory.putTable(
      "DMAR", remappingHead + unitDefinition(0xfe_0000_0000, flags: 0, segment: 3),
      at: 0x2_0000_0000)
    #expect(
      try units(memory, root: 0x9_fc00) == [
        RemappingUnit(registers: 0xfe_0000_0000, segment: 3, coversRest: false)
      ])
  }

  @Test func `other structures and scopes are stepped over`() throws {
    let reserved: [UInt8] =
      little(UInt16(1)) + little(UInt16(24)) + [UInt8](repeating: 7, count: 20)
    let found = try units(
      remappingMachine(
        unitDefinition(0xfed9_0000, flags: 0, segment: 0, scope: true) + reserved
          + unitDefinition(0xfed9_1000, flags: 1, segment: 0)))
    #expect(found.map(\.registers) == [0xfed9_0000, 0xfed9_1000])
    #expect(found.map(\.coversRest) == [false, true])
    #expect(found.map(\.requesters) == [[0x10], []])
    // Slot 2 is named; what is not goes to the unit that has the rest.
    #expect(found.unit(for: 0x10)?.registers == 0xfed9_0000)
    #expect(found.unit(for: 0x11)?.registers == 0xfed9_1000)
    #expect(found.unit(for: 0x10, segment: 1) == nil)
  }

  @Test func `a scope's length never leads out of its unit`() throws {
    var structure = unitDefinition(0xfed9_0000, flags: 0, segment: 0, scope: true)
    for length: UInt8 in [0, 1, 9, 255] {
      structure[17] = length
      #expect(throws: ACPIError.truncated(at: 0x7ffe_2000)) {
        try units(remappingMachine(structure))
      }
    }
    // A path of two steps leads through a bridge: nobody is named by it.
    structure[17] = 10
    structure[2] += 2
    #expect(try units(remappingMachine(structure + [1, 0])).first?.requesters == [])
    structure[17] = 8
    structure[2] -= 2
    structure[22] = 32
    #expect(throws: ACPIError.truncated(at: 0x7ffe_2000)) {
      try units(remappingMachine(structure))
    }
  }

  @Test func `a machine without the table has no units`() throws {
    var memory = remappingMachine()
    memory.putTable("SSDT", [], at: 0x7ffe_2000)
    #expect(try units(memory).isEmpty)
  }

  @Test func `the root pointer is searched where the BIOS puts it`() {
    var memory = remappingMachine()
    #expect(ACPITables.searchRootPointer { memory[$0] } == 0xf_5ad0)
    // The extended data comes first.
    memory.put([0xc0, 0x9f], at: 0x40e)
    memory.putRootPointer(at: 0x9_fc10, narrow: 0x7ffe_0000)
    #expect(ACPITables.searchRootPointer { memory[$0] } == 0x9_fc10)
    #expect(ACPITables.searchRootPointer { _ in nil } == nil)
  }

  @Test func `wrong checksums are refused, of pointer, root and table`() {
    var memory = remappingMachine()
    memory[0xf_5ad0 + 9] = 0x58
    #expect(throws: ACPIError.noRootPointer(at: 0xf_5ad0)) { try units(memory) }
    memory = remappingMachine()
    memory[0x7ffe_0000 + 20] = 0x58
    #expect(throws: ACPIError.badChecksum(at: 0x7ffe_0000)) { try units(memory) }
    memory = remappingMachine()
    memory[0x7ffe_2000 + 40] = 0x58
    #expect(throws: ACPIError.badChecksum(at: 0x7ffe_2000)) { try units(memory) }
  }

  @Test(arguments: [0, 2, 3, 15, 17, 0xffff] as [UInt16])
  func `a structure's length never leads out of the table or round in circles`(_ length: UInt16) {
    var structure = unitDefinition(0xfed9_0000, flags: 1, segment: 0)
    structure.replaceSubrange(2..<4, with: little(length))
    #expect(throws: ACPIError.truncated(at: 0x7ffe_2000)) {
      try units(remappingMachine(structure))
    }
  }

  @Test func `tables at the end of the address space are refused`() {
    var memory = TableMemory()
    memory.putRootPointer(at: 0xf_0000, narrow: 0, wide: .max - 20)
    #expect(throws: ACPIError.unreadable(at: .max - 20)) { try units(memory, root: 0xf_0000) }
    #expect(throws: ACPIError.noRootPointer(at: .max - 3)) { try units(memory, root: .max - 3) }
  }

  @Test func `random damage never traps`() throws {
    var random = SeededGenerator()
    let whole = remappingMachine()
    let places = whole.bytes.keys.sorted()
    for _ in 0..<20_000 {
      var memory = whole
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let place = try #require(places.randomElement(using: &random))
        memory[place] = Bool.random(using: &random) ? nil : .random(in: 0...255, using: &random)
      }
      let found: [RemappingUnit]
      do throws(ACPIError) { found = try units(memory) } catch { continue }
      #expect(found.count <= 1)
    }
  }
}
