/// The value of a property: words, addresses or strings, as its name says.
public struct DeviceTreeProperty: Sendable {
  let tree: DeviceTree
  let range: Range<Int>

  /// How many bytes the value has.
  public var byteCount: Int { range.count }

  /// The 32-bit word `index`, or nil when the value is shorter.
  public func word(_ index: Int) -> UInt32? {
    guard index >= 0, index < range.count / 4 else { return nil }
    return try? tree.bytes.word(range.lowerBound + index * 4)
  }

  /// The number in `cells` words from word `index`; nil when it is not there or has more than 64
  /// bits that matter.
  public func number(word index: Int, cells: Int) -> UInt64? {
    guard cells >= 1, cells <= 4 else { return cells == 0 ? 0 : nil }
    var value: UInt64 = 0
    for cell in 0..<cells {
      guard let next = word(index + cell), value >> 32 == 0 else { return nil }
      value = value << 32 | UInt64(next)
    }
    return value
  }

  /// An address and a size from word `index`.
  public func range(word index: Int, addressCells: Int, sizeCells: Int) -> MemoryRange? {
    guard let start = number(word: index, cells: addressCells),
      let size = number(word: index + addressCells, cells: sizeCells)
    else { return nil }
    return MemoryRange(start: start, byteCount: size)
  }

  /// Whether the value, a list of NUL-terminated strings, has this one.
  public func contains(_ text: StaticString) -> Bool {
    var start = range.lowerBound
    while start < range.upperBound,
      let length = try? tree.bytes.stringLength(start, end: range.upperBound)
    {
      if tree.bytes.matches(start, length, text) { return true }
      start += length + 1
    }
    return false
  }

  /// Finds `range` in a `ranges` value and gives it the parent bus's address.
  func translate(
    _ range: MemoryRange, childCells: Int, parentCells: Int, sizeCells: Int
  ) -> MemoryRange? {
    let entry = childCells + parentCells + sizeCells
    guard entry > 0, childCells <= 2 else { return nil }
    var index = 0
    while let child = number(word: index, cells: childCells),
      let parent = number(word: index + childCells, cells: parentCells),
      let size = number(word: index + childCells + parentCells, cells: sizeCells)
    {
      let offset = range.start &- child
      if range.start >= child, offset < size, range.byteCount <= size - offset {
        let (start, overflow) = parent.addingReportingOverflow(offset)
        return overflow ? nil : MemoryRange(start: start, byteCount: range.byteCount)
      }
      index += entry
    }
    return nil
  }
}
