import CPU
import DMA
import DeviceTree
import PCI
import Startup

/// The machine's side of `PCIHost`.
var barePCIOperations: PCIOperations {
  unsafe PCIOperations(
    readConfiguration: { context, address, offset, width in
      unsafe readConfiguration(MachineState.at(context), address, offset, width)
    },
    writeConfiguration: { context, address, offset, width, value in
      unsafe writeConfiguration(MachineState.at(context), address, offset, width, value)
    },
    mapBAR: { context, _, _, start, byteCount, numbers in
      unsafe mapBAR(MachineState.at(context), start, byteCount, numbers)
    },
    allocateMessage: { context, _, _, numbers in
      unsafe MessageWords.allocate(MachineState.at(context), numbers)
    },
    freeMessage: { context, handle in
      unsafe MachineState.at(context).pointee.messages.free(handle)
    },
    takeInterrupt: { context, handle in
      unsafe MachineState.at(context).pointee.messages.take(handle)
    },
    registers: unsafe RegisterOperations(
      // Registers are memory here: windows never call.
      read: { _, _, _, _ in .max }, write: { _, _, _, _, _ in }))
}

/// Where a word of configuration space is in memory (ECAM: PCI Express 3.0, 7.2.2): nil outside of
/// it.
private func configurationAddress(
  _ host: PCIHostDescription, _ address: UInt32, _ offset: Int, _ width: Int
) -> UInt? {
  let bus = UInt8(truncatingIfNeeded: address >> 8)
  guard address >> 16 == 0, bus >= host.firstBus, bus <= host.lastBus, offset >= 0,
    offset <= 4096 - width, offset % width == 0
  else { return nil }
  let function = UInt64(address & 0xffff) - UInt64(host.firstBus) << 8
  return UInt(host.configuration.start + function << 12) + UInt(offset)
}

private func readConfiguration(
  _ state: UnsafeMutablePointer<MachineState>, _ address: UInt32, _ offset: Int, _ width: Int
) -> UInt32 {
  switch unsafe state.pointee.pci {
  case .memory(let host):
    guard let place = configurationAddress(host, address, offset, width) else { return .max }
    switch width {
    case 1: return UInt32(UInt8.volatileLoad(at: place))
    case 2: return UInt32(UInt16.volatileLoad(at: place))
    default: return UInt32.volatileLoad(at: place)
    }
  case .ports: return readConfigurationPort(address, offset, width)
  case nil: return .max
  }
}

private func writeConfiguration(
  _ state: UnsafeMutablePointer<MachineState>, _ address: UInt32, _ offset: Int, _ width: Int,
  _ value: UInt32
) {
  switch unsafe state.pointee.pci {
  case .memory(let host):
    guard let place = configurationAddress(host, address, offset, width) else { return }
    switch width {
    case 1: UInt8.volatileStore(UInt8(truncatingIfNeeded: value), at: place)
    case 2: UInt16.volatileStore(UInt16(truncatingIfNeeded: value), at: place)
    default: UInt32.volatileStore(value, at: place)
    }
  case .ports: writeConfigurationPort(address, offset, width, value)
  case nil: break
  }
}

/// Makes a device's registers reachable: from the bus's address to the CPU's, through the host's
/// windows.
private func mapBAR(
  _ state: UnsafeMutablePointer<MachineState>, _ start: UInt64, _ byteCount: Int,
  _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  var address: UInt64? = nil
  switch unsafe state.pointee.pci {
  case .memory(let host):
    address =
      host.memory32.cpuAddress(of: start, byteCount: UInt64(byteCount))
      ?? host.memory64?.cpuAddress(of: start, byteCount: UInt64(byteCount))
  case .ports: address = start == 0 ? nil : start
  case nil: break
  }
  guard let address, address_space_map(address, UInt64(byteCount), ADDRESS_DEVICE) != 0 else {
    // EFAULT: the register was never placed, or lies where the CPU does not reach.
    unsafe numbers[0] = 14
    return DMAStatus.machine.rawValue
  }
  unsafe numbers[0] = address
  return DMAStatus.success.rawValue
}

extension PCIHostDescription.Window {
  /// The CPU's address of registers in this window, or nil when they are not in it.
  fileprivate func cpuAddress(of start: UInt64, byteCount: UInt64) -> UInt64? {
    guard start >= busAddress, byteCount <= self.byteCount,
      start - busAddress <= self.byteCount - byteCount
    else { return nil }
    return cpuAddress + (start - busAddress)
  }
}

#if arch(x86_64)
  /// Configuration mechanism 1 (PCI 3.0, 3.2.2.3.2): 256 bytes a function.
  private func selectConfigurationPort(
    _ address: UInt32, _ offset: Int, _ width: Int
  ) -> UInt16? {
    guard address >> 16 == 0, offset >= 0, offset <= 256 - width, offset % width == 0 else {
      return nil
    }
    cpu_out32(0xcf8, 1 << 31 | address << 8 | UInt32(offset & 0xfc))
    return 0xcfc + UInt16(offset & 3)
  }

  private func readConfigurationPort(_ address: UInt32, _ offset: Int, _ width: Int) -> UInt32 {
    guard let port = selectConfigurationPort(address, offset, width) else { return .max }
    switch width {
    case 1: return UInt32(cpu_in8(port))
    case 2: return UInt32(cpu_in16(port))
    default: return cpu_in32(port)
    }
  }

  private func writeConfigurationPort(
    _ address: UInt32, _ offset: Int, _ width: Int, _ value: UInt32
  ) {
    guard let port = selectConfigurationPort(address, offset, width) else { return }
    switch width {
    case 1: cpu_out8(port, UInt8(truncatingIfNeeded: value))
    case 2: cpu_out16(port, UInt16(truncatingIfNeeded: value))
    default: cpu_out32(port, value)
    }
  }
#else
  private func readConfigurationPort(_ address: UInt32, _ offset: Int, _ width: Int) -> UInt32 {
    .max
  }

  private func writeConfigurationPort(
    _ address: UInt32, _ offset: Int, _ width: Int, _ value: UInt32
  ) {}
#endif
