internal import DMA

/// The places in source that made or ended mappings, numbered; 0 is no place.
@safe
struct SiteTable: ~Copyable {
  private var numbers = AddressTable<UInt32>()
  private(set) var sites: [CallSite] = unsafe [CallSite(file: nil, fileByteCount: 0, line: 0)]
  /// How many mappings each made.
  private var made: [UInt64] = [0]
  /// Places that found no room: their mappings are kept without one.
  private(set) var lostCount: UInt64 = 0
  private let countMax: Int

  init(countMax: Int) { self.countMax = countMax }

  subscript(number: UInt32) -> CallSite { sites[Int(number)] }

  func madeCount(_ number: UInt32) -> UInt64 { made[Int(number)] }

  mutating func noteMade(_ number: UInt32) { made[Int(number)] &+= 1 }

  mutating func number(of origin: DMAEvent.Origin) -> UInt32 {
    guard case .callSite(let site) = origin, let file = unsafe site.fileName.baseAddress else {
      return 0
    }
    // The same text of one module has one address; the line is mixed in. A probe on equality
    // follows, so that two places never share a number.
    var key = UInt64(UInt(bitPattern: file)) ^ UInt64(site.line) &* 0x9e37_79b9_7f4a_7c15
    key &= .max >> 1
    while let number = numbers[key] {
      let known = sites[Int(number)]
      if unsafe known.line == site.line && known.fileName.baseAddress == file { return number }
      key = (key &+ 1) & (.max >> 1)
    }
    guard sites.count <= countMax else {
      lostCount &+= 1
      return 0
    }
    let number = UInt32(sites.count)
    sites.append(site)
    made.append(0)
    numbers.insert(number, for: key)
    return number
  }
}
