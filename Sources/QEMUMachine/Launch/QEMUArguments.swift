internal import DMA

/// The descriptors QEMU inherits, by their numbers over there.
enum InheritedDescriptor {
  static let qtest = 3
  static let memory = 4
  static let firmware = 5
}

extension QEMUMachine.Configuration {
  /// QEMU's command line, without the program itself.
  ///
  /// - Parameter name: what the process is found by.
  func commandLine(name: String) -> [String] {
    var line = [
      "-name", name, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
      "-accel", "tcg", "-smp", "1", "-m", "\(memoryByteCount >> 20)M",
      "-object",
      "memory-backend-file,id=ram,share=on,size=\(memoryByteCount >> 20)M,"
        + "mem-path=/proc/self/fd/\(InheritedDescriptor.memory)",
      // The split is said, not left to the rule, so that both sides always agree.
      "-machine", "q35,memory-backend=ram,max-ram-below-4g=\(lowMemory),sata=off,smbus=off",
      "-bios", "/proc/self/fd/\(InheritedDescriptor.firmware)",
      "-chardev", "socket,id=qtest,fd=\(InheritedDescriptor.qtest)",
      "-qtest", "chardev:qtest", "-qtest-log", "none",
      // What drivers do wrong, in the words of the device models: see `diagnostics`.
      "-d", "guest_errors",
    ]
    // Before all devices: those that come first would bypass it.
    if hasIOMMU { line += ["-device", "intel-iommu"] }
    for (index, device) in devices.enumerated() {
      let place = ",bus=pcie.0,addr=0x\(String(Self.firstSlot + index, radix: 16))"
      switch device {
      case .edu(let mask):
        line += ["-device", "edu,dma_mask=0x\(String(mask.rawValue, radix: 16))" + place]
      case .nvme(let image, let isReadOnly):
        line += [
          "-blockdev",
          "driver=raw,node-name=disk\(index),read-only=\(isReadOnly ? "on" : "off"),"
            + "file.driver=file,file.filename=\(escaped(image))",
          "-device", "nvme,serial=disk\(index),drive=disk\(index)" + place,
        ]
      case .other(let text):
        line += ["-device", text + place]
      }
    }
    return line + arguments
  }

  /// In QEMU's option lists a comma inside of a value is written twice.
  private func escaped(_ value: String) -> String {
    var bytes: [UInt8] = []
    for byte in value.utf8 {
      bytes.append(byte)
      if byte == UInt8(ascii: ",") { bytes.append(byte) }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// The firmware: 64 KiB that keep the CPU halted for ever.
///
/// No guest runs; the CPU is not even in the way.
enum ParkedFirmware {
  static let byteCount = 65536
  /// Where the CPU starts, in the image.
  static let resetVector = 0xfff0
  /// cli; hlt; jmp to the hlt.
  static let code: [UInt8] = [0xfa, 0xf4, 0xeb, 0xfd]
  static let halt: UInt8 = 0xf4

  static var image: [UInt8] {
    var image = [UInt8](repeating: halt, count: byteCount)
    image.replaceSubrange(resetVector..<resetVector + code.count, with: code)
    return image
  }
}
