/// Names seen lately, by a hash of their first and last bytes.
@safe
struct RecentNames {
  private static let mask = 255
  private struct Entry {
    var first: UInt64
    var middle: UInt64
    var last: UInt64
    var length: Int
    var number: Int
  }
  // SAFETY: owned by the parser that made it, for as long as the process reads traces; `mask + 1`
  // entries, all initialized.
  private let entries: UnsafeMutablePointer<Entry>

  init() {
    unsafe entries = .allocate(capacity: Self.mask + 1)
    unsafe entries.initialize(
      repeating: Entry(first: 0, middle: 0, last: 0, length: -1, number: 0), count: Self.mask + 1)
  }

  func deallocate() { unsafe entries.deallocate() }

  /// The table's number of a name; names longer than 24 bytes are left to the table.
  @inline(__always)
  func number(of name: UnsafePointer<UInt8>, _ length: Int, in table: NameTable) -> Int {
    let first: UInt64
    let last: UInt64
    if length >= 8 {
      first = unsafe Bytes.load8(name)
      last = unsafe Bytes.load8(name + (length - 8))
    } else if length > 0 {
      first = unsafe Bytes.first(length, of: Bytes.load8(name))
      last = 0
    } else {
      return 0
    }
    guard length <= 24 else { return unsafe Int(table.intern(name, length)) }
    let middle = unsafe length > 16 ? Bytes.load8(name + 8) : 0
    let hash = (first ^ middle ^ (last &<< 7) ^ (last &>> 29)) &* 0x9e37_79b9_7f4a_7c15
    let slot = Int(truncatingIfNeeded: hash &>> 56) & Self.mask
    let entry = unsafe entries + slot
    if unsafe entry.pointee.first == first, unsafe entry.pointee.last == last,
      unsafe entry.pointee.middle == middle, unsafe entry.pointee.length == length
    {
      return unsafe entry.pointee.number
    }
    let number = unsafe Int(table.intern(name, length))
    unsafe entry.pointee = Entry(
      first: first, middle: middle, last: last, length: length, number: number)
    return number
  }
}
