/// The outcome of a call through an operations table, as C can carry it.
///
/// Zero is success. Every other value goes with up to three numbers that the callee writes where
/// the caller said; `DMAError.init(status:numbers:)` puts them together again. The raw values are
/// part of what a mapping or a machine implements.
@frozen
public struct DMAStatus: RawRepresentable, Equatable, Sendable {
  /// The number a C function returns.
  public let rawValue: Int32

  /// Wraps a number a C function returned.
  @inlinable
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Done.
  @inlinable
  public static var success: DMAStatus { DMAStatus(rawValue: 0) }
  /// `DMAError.emptyRequest`.
  public static var emptyRequest: DMAStatus { DMAStatus(rawValue: 1) }
  /// `DMAError.tooLarge`: bytes asked for, limit.
  public static var tooLarge: DMAStatus { DMAStatus(rawValue: 2) }
  /// `DMAError.outOfMemory`: bytes asked for, limit.
  public static var outOfMemory: DMAStatus { DMAStatus(rawValue: 3) }
  /// `DMAError.outOfReach`: first bus address, last bus address, mask.
  public static var outOfReach: DMAStatus { DMAStatus(rawValue: 4) }
  /// `DMAError.outOfAddressSpace`: bytes asked for, limit.
  public static var outOfAddressSpace: DMAStatus { DMAStatus(rawValue: 5) }
  /// `DMAError.bouncePoolFull`: bytes asked for, slots, slots used.
  public static var bouncePoolFull: DMAStatus { DMAStatus(rawValue: 6) }
  /// `DMAError.tooManySegments`: segments, limit.
  public static var tooManySegments: DMAStatus { DMAStatus(rawValue: 7) }
  /// `DMAError.notDMAable`: the kind.
  public static var notDMAable: DMAStatus { DMAStatus(rawValue: 8) }
  /// `DMAError.notMapped`: the bus address.
  public static var notMapped: DMAStatus { DMAStatus(rawValue: 9) }
  /// `DMAError.wrongSize`: expected, given.
  public static var wrongSize: DMAStatus { DMAStatus(rawValue: 10) }
  /// `DMAError.invalidAlignment`: alignment, limit.
  public static var invalidAlignment: DMAStatus { DMAStatus(rawValue: 11) }
  /// `DMAError.machine`: the machine's number.
  public static var machine: DMAStatus { DMAStatus(rawValue: 12) }
  /// `DMAError.deviceRemoved`.
  public static var deviceRemoved: DMAStatus { DMAStatus(rawValue: 13) }
  /// `DMAError.segmentAcrossBoundary`: first bus address, last bus address, boundary.
  public static var segmentAcrossBoundary: DMAStatus { DMAStatus(rawValue: 14) }
  /// In events only: a call did not fit what it was about, and was refused.
  ///
  /// Its caller got the error that says why.
  public static var refused: DMAStatus { DMAStatus(rawValue: 15) }
}

/// The numbers that go with a status: results when it is success, limits when it is not.
@frozen
public struct DMAStatusNumbers: Sendable {
  /// On success the first result; else the first number of the error.
  public var first: UInt64
  /// On success the second result; else the second number of the error.
  public var second: UInt64
  /// On success the third result; else the third number of the error.
  public var third: UInt64

  /// Three zeroes, or the numbers given.
  @inlinable
  public init(_ first: UInt64 = 0, _ second: UInt64 = 0, _ third: UInt64 = 0) {
    self.first = first
    self.second = second
    self.third = third
  }

  /// Lends all three words to a function of an operations table.
  @inlinable
  public mutating func withWords(
    _ body: (UnsafeMutablePointer<UInt64>) -> Int32
  ) -> DMAStatus {
    // SAFETY: the pointer is to the whole struct, which is three UInt64 one after the other. (A
    // pointer to `first` alone would let the optimiser assume that the others do not change.)
    // Unprotected: three words cannot be overrun by those who are told of three, and a canary around
    // each call costs as much as the checks of a map.
    unsafe _withUnprotectedUnsafeMutablePointer(to: &self) { pointer in
      DMAStatus(
        rawValue: unsafe body(
          UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: UInt64.self)))
    }
  }
}

extension DMAError {
  /// Puts an error together from what an operations table returned.
  public init(status: DMAStatus, numbers: DMAStatusNumbers) {
    let byteCount = Int(truncatingIfNeeded: numbers.first)
    switch status {
    case .emptyRequest: self = .emptyRequest
    case .tooLarge:
      self = .tooLarge(byteCount: byteCount, limit: Int(truncatingIfNeeded: numbers.second))
    case .outOfMemory: self = .outOfMemory(byteCount: byteCount, limit: numbers.second)
    case .outOfReach:
      self = .outOfReach(
        first: DMAAddress(rawValue: numbers.first), last: DMAAddress(rawValue: numbers.second),
        mask: DMAMask(trusted: numbers.third))
    case .outOfAddressSpace:
      self = .outOfAddressSpace(byteCount: byteCount, limit: numbers.second)
    case .bouncePoolFull:
      self = .bouncePoolFull(
        byteCount: byteCount, totalSlots: Int(truncatingIfNeeded: numbers.second),
        usedSlots: Int(truncatingIfNeeded: numbers.third))
    case .tooManySegments:
      self = .tooManySegments(count: byteCount, limit: Int(truncatingIfNeeded: numbers.second))
    case .notDMAable:
      self = .notDMAable(MemoryKind(rawValue: UInt8(truncatingIfNeeded: numbers.first)) ?? .unknown)
    case .notMapped: self = .notMapped(DMAAddress(rawValue: numbers.first))
    case .wrongSize:
      self = .wrongSize(expected: byteCount, given: Int(truncatingIfNeeded: numbers.second))
    case .invalidAlignment:
      self = .invalidAlignment(byteCount, limit: Int(truncatingIfNeeded: numbers.second))
    case .deviceRemoved: self = .deviceRemoved
    case .segmentAcrossBoundary:
      self = .segmentAcrossBoundary(
        first: DMAAddress(rawValue: numbers.first), last: DMAAddress(rawValue: numbers.second),
        boundary: numbers.third)
    case .machine: self = .machine(code: byteCount)
    default: self = .machine(code: Int(status.rawValue))
    }
  }
}
