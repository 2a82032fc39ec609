internal import DMA

/// The places in source that made or ended mappings, numbered; 0 is no place.
///
/// A loop's few places are found in a small cache by the address of their text and their line: no
/// text is compared or copied.
@safe
struct SiteTable: ~Copyable {
  /// A place, and what is known of it.
  struct Site: BitwiseCopyable {
    var site: CallSite
    /// How many mappings it made.
    var madeCount: UInt64 = 0
    /// How often its neighbours in memory were searched for.
    var searchCount: UInt32 = 0
  }

  /// A place that was seen lately; a number of 0 names none.
  struct Recent: BitwiseCopyable {
    var file: UInt = 0
    var line: UInt32 = 0
    var number: UInt32 = 0
    /// Mappings made there that its entry does not count yet.
    var madeCount: UInt64 = 0
  }

  private static var recentCount: Int { 16 }

  private var numbers = AddressTable<UInt32>()
  private var sites: UnsafeMutablePointer<Site>
  private var count = 1
  private var capacity = 16
  private let recent: UnsafeMutablePointer<Recent>
  /// Places that found no room: their mappings are kept without one.
  private(set) var lostCount: UInt64 = 0
  private let countMax: Int

  init(countMax: Int) {
    self.countMax = countMax
    unsafe sites = .allocate(capacity: capacity)
    unsafe sites.initialize(to: Site(site: CallSite(file: nil, fileByteCount: 0, line: 0)))
    unsafe recent = .allocate(capacity: Self.recentCount)
    unsafe recent.initialize(repeating: Recent(), count: Self.recentCount)
  }

  deinit {
    unsafe sites.deallocate()
    unsafe recent.deallocate()
  }

  /// What is known of a place.
  ///
  /// Valid until the next place is numbered.
  func pointer(_ number: UInt32) -> UnsafeMutablePointer<Site> {
    precondition(Int(number) < count, "a place has a number")
    return unsafe sites + Int(number)
  }

  subscript(number: UInt32) -> CallSite { unsafe pointer(number).pointee.site }

  /// How many mappings a place made.
  func madeCount(_ number: UInt32) -> UInt64 {
    var result = unsafe pointer(number).pointee.madeCount
    for slot in 0..<Self.recentCount {
      // SAFETY: the cache has that many places.
      if unsafe recent[slot].number == number { unsafe result &+= recent[slot].madeCount }
    }
    return result
  }

  @inline(__always)
  mutating func noteMade(_ number: UInt32) { unsafe pointer(number).pointee.madeCount &+= 1 }

  /// A place that was seen lately, by the address of its text and its line; what made mappings
  /// there may be counted in it.
  ///
  /// Valid until the next place is numbered.
  @inline(__always)
  func recent(_ file: UInt, _ line: UInt32) -> UnsafeMutablePointer<Recent>? {
    // SAFETY: the cache has 16 places.
    let known = unsafe recent + Self.slot(file, line)
    guard unsafe known.pointee.file == file, unsafe known.pointee.line == line,
      unsafe known.pointee.number != 0
    else { return nil }
    return unsafe known
  }

  /// Puts a place into the cache, and counts what its predecessor there made.
  private func remember(_ slot: Int, _ file: UInt, _ line: UInt32, _ number: UInt32) {
    // SAFETY: the slot is one of the cache's.
    let old = unsafe recent[slot]
    if old.number != 0 { unsafe pointer(old.number).pointee.madeCount &+= old.madeCount }
    unsafe recent[slot] = Recent(file: file, line: line, number: number)
  }

  /// Neighbouring lines go to different places of the cache.
  @inline(__always)
  private static func slot(_ file: UInt, _ line: UInt32) -> Int {
    Int(truncatingIfNeeded: (UInt64(file) &>> 4) ^ UInt64(line)) & 15
  }

  mutating func number(of origin: DMAEvent.Origin) -> UInt32 {
    guard case .callSite(let site) = origin else { return 0 }
    let file = unsafe UInt(bitPattern: site.fileName.baseAddress)
    if let known = unsafe recent(file, site.line) { return unsafe known.pointee.number }
    return number(of: site, Self.slot(file, site.line))
  }

  @inline(never)
  private mutating func number(of site: CallSite, _ slot: Int) -> UInt32 {
    guard let file = unsafe site.fileName.baseAddress else { return 0 }
    // The same text of one module has one address; the line is mixed in. A probe on equality
    // follows, so that two places never share a number.
    var key = UInt64(UInt(bitPattern: file)) ^ UInt64(site.line) &* 0x9e37_79b9_7f4a_7c15
    key &= .max >> 1
    while let number = numbers[key] {
      let known = self[number]
      if unsafe known.line == site.line && known.fileName.baseAddress == file {
        remember(slot, UInt(bitPattern: file), site.line, number)
        return number
      }
      key = (key &+ 1) & (.max >> 1)
    }
    guard count <= countMax else {
      lostCount &+= 1
      return 0
    }
    if count == capacity { grow() }
    let number = UInt32(count)
    // SAFETY: there is room for one more.
    unsafe (sites + count).initialize(to: Site(site: site))
    count += 1
    numbers.insert(number, for: key)
    remember(slot, UInt(bitPattern: file), site.line, number)
    return number
  }

  private mutating func grow() {
    let fresh = UnsafeMutablePointer<Site>.allocate(capacity: capacity * 2)
    // SAFETY: the new array is twice as long; sites are trivial.
    unsafe fresh.initialize(from: sites, count: count)
    unsafe sites.deallocate()
    unsafe sites = fresh
    capacity *= 2
  }
}
