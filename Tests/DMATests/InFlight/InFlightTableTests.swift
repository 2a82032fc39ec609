import DMA
import TestSupport
import Testing

@Suite struct InFlightTableTests {
  /// The command's number; nil for no command.
  private func numberOf(_ command: consuming Command?) -> Int? {
    guard let command else { return nil }
    return command.number
  }

  struct Command: ~Copyable {
    let number: Int
  }

  @Test func `commands complete in any order and come back whole`() throws {
    var random = SeededGenerator()
    var table = InFlightTable<Command>(capacity: 64)
    var running: [UInt16: Int] = [:]
    for number in 0..<10_000 {
      if table.isFull || (Bool.random(using: &random) && !running.isEmpty) {
        let id = try #require(running.keys.randomElement(using: &random))
        #expect(numberOf(table.complete(id)) == running.removeValue(forKey: id))
      }
      let expected = table.nextID
      let id = table.start(Command(number: number))
      #expect(id == expected)
      #expect(running.updateValue(number, forKey: id) == nil)
      check(table.count == running.count)
    }
  }

  @Test func `a device that answers twice, or for an id nobody has, gets nothing`() {
    var table = InFlightTable<Command>(capacity: 4)
    let id = table.start(Command(number: 1))
    #expect(numberOf(table.complete(id + 1)) == nil)
    #expect(numberOf(table.complete(.max)) == nil)
    #expect(numberOf(table.complete(id)) == 1)
    #expect(numberOf(table.complete(id)) == nil)
    check(table.count == 0)
  }

  @Test func `a full table says so, and traps when it is not asked`() async {
    var table = InFlightTable<Command>(capacity: 1)
    check(!table.isFull)
    _ = table.start(Command(number: 1))
    check(table.isFull && table.nextID == nil)
    await #expect(processExitsWith: .failure) {
      var table = InFlightTable<Command>(capacity: 1)
      _ = table.start(Command(number: 1))
      _ = table.start(Command(number: 2))
    }
  }
}
