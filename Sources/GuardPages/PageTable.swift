internal import CGuardPages
internal import DMA

/// A piece of memory that a device owns.
struct GuardedPiece: RangeRecord {
  /// The CPU's address: what a touch is found by.
  var address: UInt64
  var byteCount: UInt64
  /// What a checker knows it by.
  var dmaAddress: UInt64
  /// The device's core.
  var core: UInt
  var isWritten: Bool
  var owner: UInt32 { 0 }
}

/// What the CPU may do with each page now: who has mapped it, and how.
///
/// A page that several mappings share is closed while none of them was synced for the CPU, and
/// stays open from the first that was until all have ended: what is then missed is better than a
/// false accusation.
@safe
struct PageTable: ~Copyable {
  struct Page: BitwiseCopyable {
    /// Mappings that let the device write.
    var writers: UInt16 = 0
    /// Mappings that let it read only.
    var readers: UInt16 = 0
    /// Mappings whose own code is at work on it.
    var lent: UInt16 = 0
    /// Synced for the CPU.
    var isOpen = false

    var access: guard_access {
      if isOpen || lent > 0 { return guard_all }
      if writers > 0 { return guard_none }
      return readers > 0 ? guard_read : guard_all
    }
  }

  private var pages = AddressTable<Page>()
  private var pieces = RangeTable<GuardedPiece>()
  /// Pages whose protection the host would not change.
  private(set) var failureCount = 0

  /// Changes every page of a range and what the CPU may do with it.
  private mutating func change(
    _ cpuAddress: UInt64, _ byteCount: UInt64, _ body: (inout Page) -> Void
  ) {
    guard byteCount > 0 else { return }
    for number in cpuAddress >> 12...(cpuAddress + byteCount - 1) >> 12 {
      let before = pages[number] ?? Page()
      var page = before
      body(&page)
      if page.writers == 0, page.readers == 0, page.lent == 0 {
        page = Page()
        pages.remove(number)
      } else {
        pages.insert(page, for: number)
      }
      // A page that is closed is closed again: a touch may have opened it meanwhile.
      let after = page.access.rawValue
      guard after != before.access.rawValue || after != guard_all.rawValue else { continue }
      if guard_set(UInt(number << 12), 4096, page.access) != 0 { failureCount += 1 }
    }
  }

  /// A device gets a piece.
  mutating func give(_ piece: GuardedPiece) {
    _ = pieces.insert(piece)
    change(piece.address, piece.byteCount) { page in
      if piece.isWritten { page.writers &+= 1 } else { page.readers &+= 1 }
    }
  }

  /// A piece comes back.
  mutating func takeBack(
    _ cpuAddress: UInt64, _ byteCount: UInt64, core: UInt, isWritten: Bool
  ) {
    var next = pieces.find(0, cpuAddress)
    while let place = next {
      let piece = pieces[place]
      if piece.byteCount == byteCount, piece.core == core, piece.isWritten == isWritten {
        pieces.remove(at: place)
        break
      }
      next = pieces.find(after: place)
    }
    guard next != nil else { return }
    change(cpuAddress, byteCount) { page in
      if isWritten { page.writers &-= 1 } else { page.readers &-= 1 }
    }
  }

  /// A mapping's own code begins or ends its work.
  mutating func lend(_ cpuAddress: UInt64, _ byteCount: UInt64, isBegun: Bool) {
    change(cpuAddress, byteCount) { page in
      if isBegun { page.lent &+= 1 } else { page.lent &-= 1 }
    }
  }

  /// A sync hands pages to the CPU, or back to the only mapping there is.
  mutating func sync(_ cpuAddress: UInt64, _ byteCount: UInt64, isForCPU: Bool) {
    change(cpuAddress, byteCount) { page in
      if isForCPU {
        page.isOpen = true
      } else if page.writers &+ page.readers <= 1 {
        page.isOpen = false
      }
    }
  }

  /// The piece that an address lies in.
  func piece(at cpuAddress: UInt) -> GuardedPiece? {
    pieces.find(0, containing: UInt64(cpuAddress), byteCount: 1).map { pieces[$0] }
  }

  /// Opens all pages that are closed.
  mutating func openAll() {
    var numbers: [UInt64] = []
    pages.forEach { number, _ in numbers.append(number) }
    for number in numbers {
      _ = guard_set(UInt(number << 12), 4096, guard_all)
      pages.remove(number)
    }
  }
}
