/// Offsets in configuration space (PCI 3.0, 6.1) and capability ids (appendix H).
public enum PCIRegister {
  public static let vendorID = 0x00
  public static let deviceID = 0x02
  public static let command = 0x04
  public static let status = 0x06
  /// Revision, then programming interface, subclass and class.
  public static let revision = 0x08
  public static let headerType = 0x0e
  public static let bar0 = 0x10
  public static let capabilities = 0x34
}

/// Bits of the command register (PCI 3.0, 6.2.2).
enum PCICommand {
  static let memory: UInt16 = 1 << 1
  static let busMaster: UInt16 = 1 << 2
  static let interruptDisable: UInt16 = 1 << 10
}

/// Capability ids (PCI 3.0, appendix H).
public enum PCICapabilityID {
  public static let msi: UInt8 = 0x05
  public static let msix: UInt8 = 0x11
}
