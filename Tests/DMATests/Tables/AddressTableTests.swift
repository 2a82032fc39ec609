import TestSupport
import Testing

@testable import DMA

@Suite struct AddressTableTests {
  @Test func `the table agrees with a dictionary over random operations`() {
    var random = SeededGenerator()
    var table = AddressTable<UInt32>()
    var model: [UInt64: UInt32] = [:]
    for step in 0..<200_000 {
      // Few keys, close together: probing runs long and removal has to close holes.
      let key = UInt64.random(in: 0..<4096, using: &random) << (step % 3 == 0 ? 12 : 0)
      switch UInt8.random(in: 0..<3, using: &random) {
      case 0:
        let value = UInt32.random(in: 0 ... .max, using: &random)
        check(table.insert(value, for: key) == model.updateValue(value, forKey: key))
      case 1: check(table.remove(key) == model.removeValue(forKey: key))
      default: #expect(table[key] == model[key])
      }
    }
    check(table.count == model.count)
    var seen = 0
    table.forEach { key, value in
      seen += 1
      #expect(model[key] == value)
    }
    #expect(seen == model.count)
  }

  @Test func `zero is a key, all ones is not`() async {
    var table = AddressTable<Int>()
    check(table[0] == nil)
    table.insert(7, for: 0)
    check(table[0] == 7)
    check(table[.max] == nil)
    await #expect(processExitsWith: .failure) {
      var table = AddressTable<Int>()
      table.insert(1, for: .max)
    }
  }
}
