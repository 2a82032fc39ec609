import DMA

/// How the device's registers are laid out (QEMU documentation, "QEMU Firmware Configuration
/// Device").
public enum FirmwareConfigurationLayout: UInt8, Sendable {
  /// Memory-mapped: the DMA register is 64 bits wide, 16 bytes in.
  case memory
  /// x86 ports 0x510 to 0x51b: the DMA register is two 32-bit ports, 4 bytes in.
  case ports

  /// Bytes the registers take.
  public var byteCount: Int { self == .memory ? 24 : 12 }
}

/// The block in memory that tells the device what to do.
///
/// All fields are big-endian.
struct FirmwareConfigurationCommand: DMARepresentable {
  var control: UInt32
  var byteCount: UInt32
  var address: UInt64
}

extension DMAField where Root == FirmwareConfigurationCommand, Word == UInt32 {
  static var control: Self { Self(at: 0) }
  static var byteCount: Self { Self(at: 4) }
}

extension DMAField where Root == FirmwareConfigurationCommand, Word == UInt64 {
  static var address: Self { Self(at: 8) }
}

/// Bits of a command's control word; the item to select is in its upper half.
enum FirmwareConfigurationControl {
  static let error: UInt32 = 1 << 0
  static let read: UInt32 = 1 << 1
  static let select: UInt32 = 1 << 3
}

/// One entry of the directory: size, selector, name; numbers are big-endian.
enum FirmwareConfigurationDirectory {
  static let selector: UInt16 = 0x19
  static let entryByteCount = 64
  static let nameOffset = 8
  static let nameByteCount = 56
  /// Selectors of files begin at 0x20 and have 14 bits.
  static let countMax: UInt32 = 0x4000
}
