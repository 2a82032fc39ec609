internal import Glibc

/// A bar on standard error while something long runs; nothing where that is not a terminal.
struct ProgressBar {
  private let total: Int
  private let isVisible: Bool
  private var shownPercent = -1

  init(total: Int) {
    self.total = max(total, 1)
    isVisible = isatty(2) == 1
  }

  /// Shows how much of the total is done.
  mutating func show(_ done: Int) {
    guard isVisible else { return }
    let percent = min(100, done * 100 / total)
    guard percent != shownPercent else { return }
    shownPercent = percent
    let filled = percent * 40 / 100
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 40 - filled)
    StandardError.write("\r[\(bar)] \(percent) %")
  }

  /// Takes the bar away.
  mutating func clear() {
    guard isVisible, shownPercent >= 0 else { return }
    shownPercent = -1
    StandardError.write("\r" + String(repeating: " ", count: 48) + "\r")
  }
}
