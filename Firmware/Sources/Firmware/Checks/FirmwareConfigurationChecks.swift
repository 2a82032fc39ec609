import BareMetal
import DMA
import DMAMapping
import Drivers

/// A device that is no PCI function: QEMU's fw_cfg, by DMA.
///
/// - Returns: the file that the rest of the run moves; nil when there is none.
func checkFirmwareConfiguration(
  _ table: inout CheckTable, _ description: MachineDescription, _ machine: BareMachine
) -> SourceFile? {
  var file: SourceFile? = nil
  table.run("fw_cfg: DMA without PCI; the file") { () throws(CheckFailure) in
    let read = try readFile(description, machine)
    let seen =
      "\(read.byteCount) bytes " + read.origin + ", checksum " + hex(UInt64(read.checksum))
    file = consume read
    return seen
  }
  return file
}

private func readFile(
  _ description: MachineDescription, _ machine: BareMachine
) throws(CheckFailure) -> SourceFile {
  let (window, layout) = try registers(description)
  let device = try attempt { () throws(FirmwareConfigurationError) in
    try FirmwareConfigurationDevice(
      DMADevice(
        name: "fw_cfg", platform: machine.platform,
        mapping: DirectMapping.make(for: machine.platform)),
      registers: window, layout: layout)
  }
  let letters = try attempt { () throws(FirmwareConfigurationError) in
    try device.read(.signature)
  }
  try require(isQEMU(letters.bytes), "item 0 is not QEMU's signature")
  let item = try attempt { () throws(FirmwareConfigurationError) in
    try device.find("opt/org.swift-dma/file")
  }
  if let item {
    return SourceFile(
      try attempt { () throws(FirmwareConfigurationError) in try device.read(item) },
      origin: "by its DMA")
  }
  // Where QEMU takes no files for fw_cfg (riscv64 of 7.2), the loader left it in memory.
  guard let bytes = description.initialFileBytes else {
    throw CheckFailure("no file was given: see Firmware/run")
  }
  do throws(DMAError) {
    return SourceFile(
      try StreamingBuffer(copying: bytes, in: machine.platform), origin: "from the loader")
  } catch { throw CheckFailure(error.description) }
}

private func isQEMU(_ bytes: RawSpan) -> Bool {
  load(bytes, 0) == UInt8(ascii: "Q") && load(bytes, 1) == UInt8(ascii: "E")
    && load(bytes, 2) == UInt8(ascii: "M") && load(bytes, 3) == UInt8(ascii: "U")
}

private func registers(
  _ description: MachineDescription
) throws(CheckFailure) -> (RegisterWindow, FirmwareConfigurationLayout) {
  switch description.firmwareConfiguration {
  case .memory(let address):
    let layout = FirmwareConfigurationLayout.memory
    guard let window = RegisterWindow.memory(at: address, byteCount: layout.byteCount) else {
      throw CheckFailure("its registers are out of the CPU's reach")
    }
    return (window, layout)
  case .ports(let port):
    #if arch(x86_64)
      let layout = FirmwareConfigurationLayout.ports
      return (RegisterWindow.ports(from: port, byteCount: layout.byteCount), layout)
    #else
      throw CheckFailure("this CPU has no port \(port)")
    #endif
  case nil: throw CheckFailure("the machine describes none")
  }
}
