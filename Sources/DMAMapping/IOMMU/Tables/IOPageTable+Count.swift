internal import DMA
internal import DMASupport

extension IOPageTable {
  /// Counts present entries by walking all tables (R3).
  func countEntries() -> Int {
    lock.withLock { unsafe Self.count(root, level: levels) }
  }

  private static func count(_ shadow: Shadow, level: Int) -> Int {
    var sum = 0
    for index in 0..<UInt64(512) {
      let child = unsafe child(shadow, index)
      guard child != 0 else { continue }
      if level > 2, let next = unsafe Shadow(bitPattern: child) {
        unsafe sum += count(next, level: level - 1)
      } else {
        for entry in 0..<UInt(512)
        where TableEntry.isPresent(dma_volatile_load64(child + entry * 8)) { sum += 1 }
      }
    }
    return sum
  }
}
