import DMAMapping
import TestSupport
import Testing

private let top32: UInt64 = 0xffff_ffff

/// Requested pages and the address they get, requirements 4.9.
private let vector: [(Int, UInt64)] = [
  (1, 0xffff_f000), (1, 0xffff_e000), (2, 0xffff_c000), (3, 0xffff_8000), (5, 0xffff_0000),
  (1, 0xfffe_f000), (16, 0xfffd_0000), (31, 0xfffa_0000), (32, 0xfff8_0000), (33, 0xfff4_0000),
  (48, 0xfff0_0000), (64, 0xffec_0000), (100, 0xffe0_0000), (1, 0xffdf_f000),
]

struct IOVASpaceTests {
  @Test(arguments: [top32, 0x7f_ffff_ffff, 0xffff_ffff_ffff, .max])
  func `An empty space places as the 4_9 vector says`(last: UInt64) {
    let space = IOVASpace(last: last)
    for (pages, address) in vector {
      #expect(space.allocate(pageCount: pages, last: top32) == address)
    }
    // Freed to the tree, the highest page is the next one taken.
    space.free(0xffff_f000, pageCount: 1)
    space.flushCaches()
    #expect(space.allocate(pageCount: 1, last: top32) == 0xffff_f000)
  }

  @Test
  func `Runs below 32 pages are rounded up and longer ones are not`() {
    for (pages, taken) in [(1, 1), (2, 2), (3, 4), (5, 8), (16, 16), (31, 32), (32, 32), (33, 33)] {
      let space = IOVASpace(last: top32)
      let before = space.takenPageCount
      let address = space.allocate(pageCount: pages)
      #expect(address != nil)
      #expect(space.takenPageCount - before == taken, "\(pages) pages")
      if let address { space.free(address, pageCount: pages) }
      space.flushCaches()
      #expect(space.takenPageCount == before)
    }
  }

  @Test
  func `Page 0 and reserved pages are never given out`() {
    let space = IOVASpace(last: 0xffff)
    space.reserve(0x4000...0x5001)
    space.reserve(0x5000...0x5fff)
    var given: [UInt64] = []
    while let address = space.allocate(pageCount: 1) { given.append(address) }
    #expect(given.sorted() == [1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map { $0 * 4096 })
  }

  @Test
  func `A limit holds for fresh and for cached pages`() {
    let space = IOVASpace(last: .max)
    let high = space.allocate(pageCount: 1)
    #expect(high == 0xffff_ffff_ffff_f000)
    if let high { space.free(high, pageCount: 1) }
    #expect(space.allocate(pageCount: 1, last: 0xff_ffff) == 0xff_f000)
    #expect(space.allocate(pageCount: 1) == high)
    // A limit in the middle of a page excludes the page.
    let other = IOVASpace(last: .max)
    #expect(other.allocate(pageCount: 1, last: 0xfff_fffe) == 0xfff_e000)
    #expect(space.allocate(pageCount: 1, last: 0xffe) == nil)
    #expect(space.allocate(pageCount: 1, last: 0x1ffe) == nil)
    #expect(space.allocate(pageCount: 1, last: 0x1fff) == 0x1000)
    #expect(space.allocate(pageCount: 0) == nil)
  }

  @Test
  func `An exhausted space fails cleanly and recovers after a free`() {
    let space = IOVASpace(last: 0xff_ffff)
    var given: [UInt64] = []
    while let address = space.allocate(pageCount: 1) { given.append(address) }
    #expect(given.count == 4095)
    #expect(space.allocate(pageCount: 1) == nil)
    #expect(space.allocate(pageCount: 64) == nil)
    for address in given.prefix(2048) { space.free(address, pageCount: 1) }
    // 64 pages are only free together when the caches have been emptied: the last resort.
    #expect(space.allocate(pageCount: 64) != nil)
    #expect(space.allocate(pageCount: 1) != nil)
  }

  @Test
  func `What failed below one limit does not fail below a higher one`() {
    let space = IOVASpace(last: top32)
    while space.allocate(pageCount: 256, last: 0xff_ffff) != nil {}
    while space.allocate(pageCount: 1, last: 0xff_ffff) != nil {}
    #expect(space.allocate(pageCount: 1, last: 0xff_ffff) == nil)
    #expect(space.allocate(pageCount: 4, last: top32) == 0xffff_c000)
  }

  @Test
  func `Random work never overlaps, always aligns, and ends where it began`() {
    var random = SeededGenerator()
    for last: UInt64 in [0x3f_ffff, 0x7ff_ffff, top32, 0x7f_ffff_ffff] {
      let isCaching = Bool.random(using: &random)
      let space = IOVASpace(last: last, isCaching: isCaching)
      let before = space.takenPageCount
      var owner: [UInt64: Int] = [:]
      var live: [(UInt64, Int)] = []
      var failures = 0
      for step in 0..<6000 {
        if live.isEmpty || (Int.random(in: 0..<100, using: &random) < 60 && live.count < 900) {
          let pages =
            Bool.random(using: &random)
            ? Int.random(in: 1...8, using: &random) : Int.random(in: 1...150, using: &random)
          guard let address = space.allocate(pageCount: pages) else {
            failures += 1
            continue
          }
          let rounded = 1 << (Int.bitWidth - (pages - 1).leadingZeroBitCount)
          #expect(address % UInt64((pages == 1 ? 1 : rounded) * 4096) == 0)
          #expect(address >= 4096 && address + UInt64(pages * 4096 - 1) <= last)
          for page in 0..<UInt64(pages) {
            let clash = owner.updateValue(step, forKey: address / 4096 + page)
            #expect(clash == nil, "seed \(random.seed) step \(step)")
          }
          live.append((address, pages))
        } else {
          let (address, pages) = live.swapRemove(at: Int.random(in: 0..<live.count, using: &random))
          for page in 0..<UInt64(pages) { owner[address / 4096 + page] = nil }
          space.free(address, pageCount: pages)
        }
      }
      // 1023 pages cannot hold what is asked for at times; 2^20 can.
      if last == 0x3f_ffff {
        #expect(failures > 0)
      } else if last >= top32 {
        #expect(failures == 0)
      }
      for (address, pages) in live { space.free(address, pageCount: pages) }
      space.flushCaches()
      #expect(space.takenPageCount == before, "seed \(random.seed)")
    }
  }

  @Test
  func `The tree places as a plain model of the rules does`() {
    var random = SeededGenerator()
    let pagesInSpace = 2048
    let space = IOVASpace(last: UInt64(pagesInSpace * 4096 - 1), isCaching: false)
    var model = PlacementModel(end: pagesInSpace)
    var live: [(Int, Int)] = []
    for step in 0..<4000 {
      if live.isEmpty || Int.random(in: 0..<100, using: &random) < 55 {
        let pages = Int.random(in: 1...(Bool.random(using: &random) ? 6 : 90), using: &random)
        let expected = model.allocate(pages)
        let given = space.allocate(pageCount: pages).map { Int($0 / 4096) }
        guard given == expected else {
          Issue.record(
            "\(pages) pages: \(String(describing: given)), model \(String(describing: expected)), seed \(random.seed) step \(step)"
          )
          return
        }
        if let given { live.append((given, pages)) }
      } else {
        let (first, pages) = live.swapRemove(at: Int.random(in: 0..<live.count, using: &random))
        model.free(first, pages)
        space.free(UInt64(first * 4096), pageCount: pages)
      }
    }
  }

  @Test
  func `Threads share a space without ever sharing a page`() {
    let space = SharedSpace(last: 0xfff_ffff)
    let before = space.space.takenPageCount
    runThreads(6) { thread in
      var random = SeededGenerator(seed: UInt64(thread) + 1)
      var live: [(UInt64, Int)] = []
      for _ in 0..<20_000 {
        if live.count < 40 && (live.isEmpty || Bool.random(using: &random)) {
          let pages = Int.random(in: 1...40, using: &random)
          guard let address = space.space.allocate(pageCount: pages) else { continue }
          for page in 0..<UInt64(pages) { space.claim(address / 4096 + page) }
          live.append((address, pages))
        } else {
          let (address, pages) = live.swapRemove(at: Int.random(in: 0..<live.count, using: &random))
          for page in 0..<UInt64(pages) { space.drop(address / 4096 + page) }
          space.space.free(address, pageCount: pages)
        }
        if UInt.random(in: 0..<2000, using: &random) == 0 { space.space.flushCaches() }
      }
      for (address, pages) in live {
        for page in 0..<UInt64(pages) { space.drop(address / 4096 + page) }
        space.space.free(address, pageCount: pages)
      }
    }
    #expect(space.clashes == 0)
    space.space.flushCaches()
    #expect(space.space.takenPageCount == before)
  }
}

/// The placement rules of 4.9 in a few plain lines: next-fit downwards, one retry from the top.
private struct PlacementModel {
  var taken: [Bool]
  var cursor: Int

  init(end: Int) {
    taken = Array(repeating: false, count: end)
    taken[0] = true
    cursor = end
  }

  static func rounded(_ pages: Int) -> Int {
    guard pages < 32 else { return pages }
    var size = 1
    while size < pages { size *= 2 }
    return size
  }

  mutating func allocate(_ pages: Int) -> Int? {
    let size = Self.rounded(pages)
    var alignment = 1
    while alignment < size { alignment *= 2 }
    for bound in [cursor, taken.count] where bound >= size {
      var first = (bound - size) / alignment * alignment
      while first >= 0 {
        if !taken[first..<(first + size)].contains(true) {
          for page in first..<(first + size) { taken[page] = true }
          cursor = first
          return first
        }
        first -= alignment
      }
    }
    return nil
  }

  mutating func free(_ first: Int, _ pages: Int) {
    let end = first + Self.rounded(pages)
    for page in first..<end { taken[page] = false }
    if first >= cursor { cursor = taken[end...].firstIndex(of: true) ?? taken.count }
  }
}

extension Array {
  mutating func swapRemove(at index: Int) -> Element {
    swapAt(index, count - 1)
    return removeLast()
  }
}
