#if canImport(Glibc)
  import Glibc
#endif

/// A random generator that can be run again: prints its seed, and takes one from
/// SWIFT_DMA_SEED.
///
/// SplitMix64: the same seed gives the same numbers everywhere.
public struct SeededGenerator: RandomNumberGenerator {
  /// What the numbers follow from.
  public let seed: UInt64
  private var state: UInt64

  /// A generator for one test, whose name is printed with the seed.
  public init(_ test: StaticString = #function) {
    // SAFETY: getenv's result is read before anything else could change the environment.
    let given = unsafe getenv("SWIFT_DMA_SEED").flatMap { unsafe UInt64(String(cString: $0)) }
    seed = given ?? UInt64.random(in: 0 ... .max)
    state = seed
    print("\(test): SWIFT_DMA_SEED=\(seed)")
  }

  /// A generator with a seed of its own.
  public init(seed: UInt64) {
    self.seed = seed
    state = seed
  }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
