/// A device's MSI-X table and pending bits, as its registers show them (PCI 3.0, 6.8.2).
struct MSIXTable {
  let layout: MSIXLayout
  /// Four words a vector: address, upper address, data, control (bit 0: masked).
  private var words: [UInt32]
  private var pending: [Bool]

  init(_ layout: MSIXLayout) {
    self.layout = layout
    words = []
    pending = []
    reset()
  }

  /// Every vector is masked after reset.
  mutating func reset() {
    words = [UInt32](repeating: 0, count: layout.vectorCount * 4)
    for vector in 0..<layout.vectorCount { words[vector * 4 + 3] = 1 }
    pending = [Bool](repeating: false, count: layout.vectorCount)
  }

  /// Whether an access to a BAR is for the table or the pending bits.
  func contains(bar: Int, offset: Int) -> Bool {
    bar == layout.bar && (isTable(offset) || isPending(offset))
  }

  private func isTable(_ offset: Int) -> Bool {
    offset >= layout.tableOffset && offset < layout.tableOffset + layout.vectorCount * 16
  }

  private func isPending(_ offset: Int) -> Bool {
    let end = layout.pendingOffset + (layout.vectorCount + 63) / 64 * 8
    return offset >= layout.pendingOffset && offset < end
  }

  /// Words of 4 or 8 bytes; all ones for other widths.
  func read(at offset: Int, byteCount: Int) -> UInt64 {
    guard byteCount == 4 || byteCount == 8 else { return .max }
    var value: UInt64 = 0
    for part in 0..<byteCount / 4 {
      value |= UInt64(word(at: offset + part * 4)) << UInt64(part * 32)
    }
    return value
  }

  private func word(at offset: Int) -> UInt32 {
    if isTable(offset) { return words[(offset - layout.tableOffset) / 4] }
    var bits: UInt32 = 0
    let first = (offset - layout.pendingOffset) * 8
    for bit in 0..<32 where first + bit < layout.vectorCount && pending[first + bit] {
      bits |= 1 << UInt32(bit)
    }
    return bits
  }

  /// Pending bits cannot be written.
  mutating func write(_ value: UInt64, at offset: Int, byteCount: Int) {
    guard byteCount == 4 || byteCount == 8 else { return }
    for part in 0..<byteCount / 4 where isTable(offset + part * 4) {
      let index = (offset + part * 4 - layout.tableOffset) / 4
      var word = UInt32(truncatingIfNeeded: value >> UInt64(part * 32))
      // Only the mask bit of the control word is there.
      if index % 4 == 3 { word &= 1 }
      words[index] = word
    }
  }

  func isMasked(_ vector: Int) -> Bool { words[vector * 4 + 3] & 1 != 0 }

  func message(_ vector: Int) -> (address: UInt64, data: UInt32) {
    let address = UInt64(words[vector * 4 + 1]) << 32 | UInt64(words[vector * 4])
    return (address, words[vector * 4 + 2])
  }

  mutating func setPending(_ vector: Int) { pending[vector] = true }

  /// Vectors that wait and may fire now; they are not pending any more.
  mutating func takeFirable() -> [Int] {
    var firable: [Int] = []
    for vector in 0..<layout.vectorCount where pending[vector] && !isMasked(vector) {
      pending[vector] = false
      firable.append(vector)
    }
    return firable
  }
}
