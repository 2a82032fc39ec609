internal import DMA

/// Registers in BAR 0 (OpenHCI Specification for USB, release 1.0a, section 7).
enum OHCIRegister {
  static var revision: Int { 0x00 }
  static var control: Int { 0x04 }
  static var commandStatus: Int { 0x08 }
  static var interruptStatus: Int { 0x0c }
  static var interruptDisable: Int { 0x14 }
  static var communicationArea: Int { 0x18 }
  static var controlHead: Int { 0x20 }
  static var controlCurrent: Int { 0x24 }
  static var bulkHead: Int { 0x28 }
  static var frameInterval: Int { 0x34 }
  static var periodicStart: Int { 0x40 }
  static var rootHubA: Int { 0x48 }
  static var rootHubStatus: Int { 0x50 }
  /// One word a port.
  static func port(_ index: Int) -> Int { 0x54 + index * 4 }
}

/// Bits of the control register (section 7.1.2).
enum OHCIControl {
  /// Control transfers are worked through.
  static var controlList: UInt32 { 1 << 4 }
  /// A BIOS or other firmware drives the controller.
  static var interruptRouting: UInt32 { 1 << 8 }
  /// The state, bits 7:6: 0 is reset.
  static var operational: UInt32 { 2 << 6 }
}

/// Bits of the command register (section 7.1.3).
enum OHCICommand {
  static var reset: UInt32 { 1 << 0 }
  /// There are new control transfers.
  static var controlListFilled: UInt32 { 1 << 1 }
}

/// Bits of the interrupt status (section 7.1.4).
enum OHCIInterrupt {
  /// The done queue was written to the communication area.
  static var doneQueue: UInt32 { 1 << 1 }
  /// The controller hit an error of the bus: it has stopped.
  static var unrecoverable: UInt32 { 1 << 4 }
}

/// Bits of a port's status when read, and when written (section 7.4.4).
enum OHCIPort {
  static var isConnected: UInt32 { 1 << 0 }
  static var isEnabled: UInt32 { 1 << 1 }
  static var isResetting: UInt32 { 1 << 4 }
  static var isLowSpeed: UInt32 { 1 << 9 }
  static var connectChanged: UInt32 { 1 << 16 }
  static var resetChanged: UInt32 { 1 << 20 }
  /// Written.
  static var startReset: UInt32 { 1 << 4 }
  static var powerOn: UInt32 { 1 << 8 }
}

/// The host controller communication area: 256 bytes, aligned to as many (section 4.4).
struct OHCICommunicationArea: DMARepresentable {
  static var byteCount: Int { 256 }
  /// The head of the transfers that are done, written at the end of a frame; bit 0 is no address.
  static var doneHeadOffset: Int { 0x84 }
}

/// A queue head: 16 bytes, aligned to as many (section 4.2).
enum OHCIEndpoint {
  static var byteCount: Int { 16 }
  static var information: Int { 0 }
  static var tail: Int { 4 }
  /// Bit 0: halted by an error.
  static var head: Int { 8 }
  static var next: Int { 12 }

  static var halted: UInt32 { 1 }
  /// The device's address, low speed or full, and the most bytes of one packet.
  static func information(address: UInt8, isLowSpeed: Bool, packetByteCount: Int) -> UInt32 {
    UInt32(address) | (isLowSpeed ? 1 << 13 : 0) | UInt32(packetByteCount) << 16
  }
}

/// A transfer descriptor: 16 bytes, aligned to as many (section 4.3.1).
enum OHCITransfer {
  static var byteCount: Int { 16 }
  static var information: Int { 0 }
  static var buffer: Int { 4 }
  static var next: Int { 8 }
  static var bufferEnd: Int { 12 }

  /// Fewer bytes than there is room for are no error.
  static var shortIsFine: UInt32 { 1 << 18 }
  static var setup: UInt32 { 0 << 19 }
  static var out: UInt32 { 1 << 19 }
  static var input: UInt32 { 2 << 19 }
  /// Not worth writing the done queue for; else it is written at the end of the frame.
  static var quiet: UInt32 { 7 << 21 }
  static var data0: UInt32 { 2 << 24 }
  static var data1: UInt32 { 3 << 24 }
  /// The condition code before the controller has been here.
  static var notAccessed: UInt32 { 15 << 28 }
  static func condition(_ information: UInt32) -> UInt8 { UInt8(information >> 28) }
}
