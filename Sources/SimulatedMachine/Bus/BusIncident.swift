public import PCI

/// Something a device did on the bus that its driver cannot have meant.
///
/// On real hardware most of these go unnoticed: the device reads all ones or its write is lost,
/// and it reports success all the same. The machine remembers them.
public struct BusIncident: Equatable, Sendable {
  /// Why the access did not happen as the driver meant.
  public enum Reason: Equatable, Sendable {
    /// Bus mastering is off: reads gave all ones, writes were lost.
    case busMasterOff
    /// No memory answers there: reads gave all ones, writes were lost.
    case noMemory
    /// The IOMMU refused, for the reason its specification numbers so: reads gave all ones, writes
    /// were lost.
    case translationFault(reason: UInt8)
    /// The access took place, through a translation that the tables no longer hold: it was
    /// unmapped and not invalidated yet.
    case staleTranslation
    /// The device has fewer address bits than it was given: it used `address` instead.
    case clamped(given: UInt64)
    /// The device refused a transfer that overruns its own buffer.
    case outOfDeviceRange
    /// A fault plan had it fail, as a bus error does: reads gave all ones, writes were lost.
    case injectedFault
  }

  /// Which device.
  public let requester: PCIAddress
  /// Where it went, as the device says it.
  public let address: UInt64
  public let byteCount: Int
  /// Whether the device wanted to write.
  public let isWrite: Bool
  public let reason: Reason

  public init(
    requester: PCIAddress, address: UInt64, byteCount: Int, isWrite: Bool, reason: Reason
  ) {
    self.requester = requester
    self.address = address
    self.byteCount = byteCount
    self.isWrite = isWrite
    self.reason = reason
  }
}

extension BusIncident: CustomStringConvertible {
  /// The incident in one line.
  public var description: String {
    let access =
      "\(requester) \(isWrite ? "write" : "read") of \(byteCount) bytes at"
      + " 0x\(String(address, radix: 16))"
    return switch reason {
    case .busMasterOff: access + ": bus mastering is off"
    case .noMemory: access + ": no memory there"
    case .translationFault(let fault): access + ": IOMMU fault \(fault)"
    case .staleTranslation: access + ": stale IOMMU translation"
    case .clamped(let given): access + ": clamped from 0x\(String(given, radix: 16))"
    case .injectedFault: access + ": bus error by a fault plan"
    case .outOfDeviceRange: access + ": overruns the device's own buffer"
    }
  }
}
