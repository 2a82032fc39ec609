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
  table.run("fw_cfg: a file by DMA, without PCI") { () throws(CheckFailure) in
    let read = try readFile(description, machine)
    let seen = "\(read.byteCount) bytes, checksum " + hex(UInt64(read.checksum))
    file = consume read
    return seen
  }
  return file
}

private func readFile(
  _ description: MachineDescription, _ machine: BareMachine
) throws(CheckFailure) -> SourceFile {
  let (window, layout) = try registers(description)
  var file: SourceFile? = nil
  do throws(FirmwareConfigurationError) {
    let device = try FirmwareConfigurationDevice(
      DMADevice(
        name: "fw_cfg", platform: machine.platform,
        mapping: DirectMapping.make(for: machine.platform)),
      registers: window, layout: layout)
    if let item = try device.find("opt/org.swift-dma/file") {
      file = SourceFile(try device.read(item))
    }
  } catch { throw CheckFailure(error.description) }
  guard let file else { throw CheckFailure("no file was given: see Firmware/run") }
  return file
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
