/// Why a controller says that a command failed (NVM Express 1.4, 4.6.1).
@frozen
public struct NVMeStatus: Equatable, Sendable {
  /// 0 generic, 1 command specific, 2 media and data integrity, 3 path, 7 vendor's own.
  public let type: UInt8
  /// What it means depends on the type.
  public let code: UInt8
  /// Whether the same command will fail again.
  public let isPermanent: Bool

  public init(type: UInt8, code: UInt8, isPermanent: Bool = false) {
    self.type = type
    self.code = code
    self.isPermanent = isPermanent
  }

  /// From the upper half of a completion's last word, without the phase bit.
  init(field: UInt16) {
    code = UInt8(truncatingIfNeeded: field)
    type = UInt8(truncatingIfNeeded: field >> 8 & 7)
    isPermanent = field >> 14 & 1 != 0
  }

  var isSuccess: Bool { type == 0 && code == 0 }
}

#if !hasFeature(Embedded)
  // Without an operating system, hashing would ask every port for random seeds.
  extension NVMeStatus: Hashable {}
#endif

extension NVMeStatus: CustomStringConvertible {
  /// The status in words where it has some here, with its numbers.
  public var description: String {
    let numbers = "status type \(type), code 0x\(String(code, radix: 16))"
    guard let words else { return numbers }
    return words + " (" + numbers + ")"
  }

  private var words: String? {
    switch (type, code) {
    case (0, 0x00): "success"
    case (0, 0x01): "invalid operation code"
    case (0, 0x02): "invalid field in command"
    case (0, 0x04): "the data transfer failed: memory did not answer"
    case (0, 0x06): "internal error"
    case (0, 0x07): "aborted"
    case (0, 0x08): "aborted with its queue"
    case (0, 0x0b): "invalid namespace"
    case (0, 0x13): "invalid PRP offset"
    case (0, 0x20): "the namespace is write protected"
    case (0, 0x80): "LBA out of range"
    case (0, 0x81): "capacity exceeded: the disk's medium is full"
    case (1, 0x00): "invalid completion queue"
    case (1, 0x01): "invalid queue identifier"
    case (1, 0x02): "invalid queue size"
    case (1, 0x08): "invalid interrupt vector"
    case (2, 0x80): "write fault"
    case (2, 0x81): "unrecovered read error"
    default: nil
    }
  }
}
