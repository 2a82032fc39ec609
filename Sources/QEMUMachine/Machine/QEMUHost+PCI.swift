internal import DMA
internal import MachineHost
internal import PCI

/// The ports of PCI's first configuration mechanism (PCI 3.0, 3.2.2.3.2).
enum ConfigurationPort {
  static let address: UInt16 = 0xcf8
  static let data: UInt16 = 0xcfc
}

extension QEMUHost {
  /// Where BARs are put: above all RAM below 4 GiB, below the I/O APIC's registers.
  static let barWindow: ClosedRange<UInt64> = 0xe000_0000...0xfebf_ffff

  func mapBAR(
    _ address: UInt32, _ index: Int, start: UInt64, _ byteCount: Int,
    _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    // Reached by calls, which are told the bus address.
    numbers = DMAStatusNumbers(0, start)
    return .success
  }

  func allocateMessage(
    _ address: UInt32, _ index: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    guard let vector = interrupts.allocate() else {
      // ENOSPC: all words are taken.
      numbers = DMAStatusNumbers(28)
      return .machine
    }
    let message = InterruptPage.message(vector)
    numbers = DMAStatusNumbers(message.address, UInt64(message.data), UInt64(vector))
    return .success
  }

  func freeMessage(_ handle: UInt64) { interrupts.free(Int(handle)) }

  func takeInterrupt(_ handle: UInt64) -> Bool { interrupts.take(Int(handle)) }

  // MARK: Registers, by the bus address of their window

  func readRegister(_ window: UInt64, _ offset: Int, _ byteCount: Int) -> UInt64 {
    do throws(QTestFailure) {
      return try client.ask(.read(byteCount, window &+ UInt64(offset)))
    } catch {
      fail(error)
      return .max
    }
  }

  func writeRegister(_ window: UInt64, _ offset: Int, _ byteCount: Int, _ value: UInt64) {
    pace.restart()
    do throws(QTestFailure) {
      try client.post(.write(byteCount, window &+ UInt64(offset), value))
    } catch {
      fail(error)
    }
  }

  // MARK: Configuration space

  /// What goes to the address port; nil where this mechanism does not reach.
  private func selector(_ address: UInt32, _ offset: Int) -> QTestCommand? {
    guard address <= 0xffff, offset >= 0, offset < 256 else { return nil }
    return .output(
      4, ConfigurationPort.address, 1 << 31 | address << 8 | UInt32(offset & ~3))
  }

  func readConfiguration(_ address: UInt32, _ offset: Int, _ byteCount: Int) -> UInt32 {
    guard let selector = selector(address, offset) else { return .max }
    let port = ConfigurationPort.data + UInt16(offset & 3)
    do throws(QTestFailure) {
      return UInt32(
        truncatingIfNeeded: try client.ask(selector, .input(byteCount, port)))
    } catch {
      fail(error)
      return .max
    }
  }

  /// Configuration writes are not posted: the device has it when this returns.
  func writeConfiguration(
    _ address: UInt32, _ offset: Int, _ byteCount: Int, _ value: UInt32
  ) {
    guard let selector = selector(address, offset) else { return }
    pace.restart()
    let port = ConfigurationPort.data + UInt16(offset & 3)
    do throws(QTestFailure) {
      _ = try client.ask(selector, .output(byteCount, port, value))
    } catch {
      fail(error)
    }
  }
}
