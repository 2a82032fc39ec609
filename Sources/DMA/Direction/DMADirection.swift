/// The direction of a transfer as a value, seen from main memory: for tables, traces and C.
///
/// The raw values are those of Linux 2.4.4 and later (R72). There is no "none": a direction that
/// is not known is an `Optional` (R76).
@frozen
public enum DMADirection: UInt8, Sendable {
  /// The device may read and write.
  ///
  /// Always legal, may cost speed (R75).
  case bidirectional = 0
  /// Main memory to device: the device reads (R74).
  case toDevice = 1
  /// Device to main memory: the device writes (R74).
  case fromDevice = 2

  /// Whether a device may read memory mapped this way.
  @inlinable
  public var deviceReads: Bool { self != .fromDevice }

  /// Whether a device may write memory mapped this way.
  @inlinable
  public var deviceWrites: Bool { self != .toDevice }

  /// The direction of a SCSI command's data phase (R80): unknown, write, read, none as 0 to 3.
  ///
  /// - Returns: nil for "none" and for numbers that mean nothing: there is no data to map.
  public init?(scsiDataDirection: Int) {
    switch scsiDataDirection {
    case 0: self = .bidirectional
    case 1: self = .toDevice
    case 2: self = .fromDevice
    default: return nil
    }
  }
}

extension DMADirection: CustomStringConvertible {
  /// The name as Linux prints it, without its prefix.
  public var description: String {
    switch self {
    case .bidirectional: "BIDIRECTIONAL"
    case .toDevice: "TO_DEVICE"
    case .fromDevice: "FROM_DEVICE"
    }
  }
}

/// The direction of a transfer as a type: what a mapping permits is checked by the compiler.
public protocol TransferDirection: Sendable {
  /// The same direction as a value.
  static var value: DMADirection { get }
}

/// A direction in which the device reads memory.
public protocol DeviceReads: TransferDirection {}

/// A direction in which the device writes memory.
public protocol DeviceWrites: TransferDirection {}

/// Main memory to device (R74): the device reads.
@frozen
public enum ToDevice: DeviceReads {
  /// `DMADirection.toDevice`.
  @inlinable
  public static var value: DMADirection { .toDevice }
}

/// Device to main memory (R74): the device writes.
@frozen
public enum FromDevice: DeviceWrites {
  /// `DMADirection.fromDevice`.
  @inlinable
  public static var value: DMADirection { .fromDevice }
}

/// Both ways, for when the direction is truly unknown (R75).
@frozen
public enum Bidirectional: DeviceReads, DeviceWrites {
  /// `DMADirection.bidirectional`.
  @inlinable
  public static var value: DMADirection { .bidirectional }
}
