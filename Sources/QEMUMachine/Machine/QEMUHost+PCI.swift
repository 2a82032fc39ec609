internal import DMA
internal import PCI

/// The ports of PCI's first configuration mechanism (PCI 3.0, 3.2.2.3.2).
enum ConfigurationPort {
  static let address: UInt16 = 0xcf8
  static let data: UInt16 = 0xcfc
}

extension QEMUHost {
  /// Where BARs are put: above all RAM below 4 GiB, below the I/O APIC's registers.
  static let barWindow: ClosedRange<UInt64> = 0xe000_0000...0xfebf_ffff

  /// The machine's PCI; it owns this object.
  func makePCI(_ platform: Platform) -> PCIHost {
    unsafe PCIHost(
      platform: platform, operations: Self.pciTable, context: context, owner: self)
  }

  private static var pciTable: PCIOperations {
    unsafe PCIOperations(
      readConfiguration: { context, address, offset, byteCount in
        unsafe QEMUHost.of(context).readConfiguration(address, offset, byteCount)
      },
      writeConfiguration: { context, address, offset, byteCount, value in
        unsafe QEMUHost.of(context).writeConfiguration(address, offset, byteCount, value)
      },
      mapBAR: { _, _, _, start, _, numbers in
        // Reached by calls, which are told the bus address.
        unsafe store(DMAStatusNumbers(0, start), numbers)
        return DMAStatus.success.rawValue
      },
      allocateMessage: { context, _, _, numbers in
        guard let vector = unsafe QEMUHost.of(context).interrupts.allocate() else {
          // ENOSPC: all words are taken.
          unsafe store(DMAStatusNumbers(28), numbers)
          return DMAStatus.machine.rawValue
        }
        let message = InterruptPage.message(vector)
        unsafe store(
          DMAStatusNumbers(message.address, UInt64(message.data), UInt64(vector)), numbers)
        return DMAStatus.success.rawValue
      },
      freeMessage: { context, handle in
        unsafe QEMUHost.of(context).interrupts.free(Int(handle))
      },
      takeInterrupt: { context, handle in
        unsafe QEMUHost.of(context).interrupts.take(Int(handle)) ? 1 : 0
      },
      registers: registerTable)
  }

  /// How registers are reached: by the bus address of their window.
  static var registerTable: RegisterOperations {
    unsafe RegisterOperations(
      read: { context, window, offset, byteCount in
        unsafe QEMUHost.of(context).read(window &+ UInt64(offset), byteCount)
      },
      write: { context, window, offset, byteCount, value in
        unsafe QEMUHost.of(context).write(window &+ UInt64(offset), byteCount, value)
      })
  }

  private func read(_ address: UInt64, _ byteCount: Int) -> UInt64 {
    do throws(QTestFailure) {
      return try client.ask(.read(byteCount, address))
    } catch {
      fail(error)
      return .max
    }
  }

  private func write(_ address: UInt64, _ byteCount: Int, _ value: UInt64) {
    pace.restart()
    do throws(QTestFailure) { try client.post(.write(byteCount, address, value)) } catch {
      fail(error)
    }
  }

  /// What goes to the address port; nil where this mechanism does not reach.
  private func selector(_ address: UInt32, _ offset: Int) -> QTestCommand? {
    guard address <= 0xffff, offset >= 0, offset < 256 else { return nil }
    return .output(
      4, ConfigurationPort.address, 1 << 31 | address << 8 | UInt32(offset & ~3))
  }

  private func readConfiguration(_ address: UInt32, _ offset: Int, _ byteCount: Int) -> UInt32 {
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
  private func writeConfiguration(
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
