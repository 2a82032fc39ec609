#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers

  /// `dmatool nvme identify`: what the controller says of itself and its disk.
  struct NVMeIdentifyCommand: DriverCommand {
    static let configuration = CommandConfiguration(
      commandName: "identify", abstract: "Shows what a controller says of itself and its disk.")

    @OptionGroup var options: NVMeOptions

    func drive() throws -> Checking {
      let bench = try NVMeBench(options, isReadOnly: true, disk: ByteSize(64 << 20))
      let identity = bench.nvme.identity
      let namespace = bench.namespace
      let version =
        "\(identity.version >> 16).\(identity.version >> 8 & 0xff).\(identity.version & 0xff)"
      switch options.common.format {
      case .text:
        print(
          """
          model       \(identity.model)
          serial      \(identity.serialNumber)
          firmware    \(identity.firmware)
          vendor      0x\(String(identity.vendorID, radix: 16))
          version     \(version)
          transfer    \(identity.transferByteCountMax.map { "\($0) bytes at most" } ?? "any length")
          commands    \(bench.queue.capacity) at once\
          \(identity.hasWriteZeroes ? ", write zeroes" : "")\
          \(identity.hasWriteCache ? ", write cache" : "")
          namespace   \(namespace.id): \(namespace.blockCount) blocks of \
          \(namespace.blockByteCount) bytes = \(namespace.byteCount) bytes\
          \(namespace.isReadOnly ? ", read-only" : "")
          """)
      case .json:
        print(
          "{\"model\":\(Output.quoted(identity.model)),"
            + "\"serial\":\(Output.quoted(identity.serialNumber)),"
            + "\"firmware\":\(Output.quoted(identity.firmware)),"
            + "\"vendor\":\(identity.vendorID),\"version\":\"\(version)\","
            + "\"transfer_max\":\(identity.transferByteCountMax.map(String.init) ?? "null"),"
            + "\"namespace\":\(namespace.id),\"blocks\":\(namespace.blockCount),"
            + "\"block_bytes\":\(namespace.blockByteCount),\"read_only\":\(namespace.isReadOnly)}")
      }
      return bench.machine.checking
    }
  }
#endif
