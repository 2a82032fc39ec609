#if CLI
  import ArgumentParser

  /// A number of bytes as people write it: 4096, 512K, 64M, 6G.
  struct ByteSize: ExpressibleByArgument, CustomStringConvertible {
    let byteCount: UInt64

    init(_ byteCount: UInt64) { self.byteCount = byteCount }

    init?(argument: String) {
      let shifts: [Character: UInt64] = ["K": 10, "M": 20, "G": 30, "T": 40]
      var digits = Substring(argument)
      var shift: UInt64 = 0
      if let last = digits.last, let known = shifts[Character(last.uppercased())] {
        shift = known
        digits = digits.dropLast()
      }
      guard let number = UInt64(digits), number <= UInt64.max >> shift else { return nil }
      byteCount = number << shift
    }

    var defaultValueDescription: String { description }

    /// The number with the largest unit that divides it.
    var description: String {
      for (unit, shift) in [("T", 40), ("G", 30), ("M", 20), ("K", 10)] as [(String, UInt64)]
      where byteCount != 0 && byteCount & (1 << shift - 1) == 0 {
        return "\(byteCount >> shift)\(unit)"
      }
      return "\(byteCount)"
    }
  }
#endif
