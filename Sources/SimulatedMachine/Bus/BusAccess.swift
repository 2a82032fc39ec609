public import PCI

/// One access of a device to memory, as the device puts it on the bus.
public struct BusAccess: Equatable, Sendable {
  /// Which device.
  public let requester: PCIAddress
  /// Where it goes, as the device says it.
  public let address: UInt64
  public let byteCount: Int
  /// Whether the device wants to write.
  public let isWrite: Bool
}

extension SimulatedMachine {
  /// Sets who hears of every access of devices to memory, before it happens: for checkers.
  ///
  /// Interrupt messages are not told. Set it before devices run; called with the device locked, on
  /// whatever thread it runs on: it must not touch devices.
  public func setAccessObserver(_ observer: (@Sendable (BusAccess) -> Void)?) {
    core.bus.accessObserver = observer
  }

  /// Sets who hears of every incident on the bus, as it happens.
  ///
  /// As `setAccessObserver(_:)`.
  public func setIncidentObserver(_ observer: (@Sendable (BusIncident) -> Void)?) {
    core.bus.incidentObserver = observer
  }
}
