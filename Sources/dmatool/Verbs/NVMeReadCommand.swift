#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers
  internal import Glibc

  /// `dmatool nvme read FILE`: bytes of the disk into a file.
  struct NVMeReadCommand: DriverCommand {
    static let configuration = CommandConfiguration(
      commandName: "read", abstract: "Reads bytes of the disk into a file.",
      discussion: "Exit code: 0 done, 1 a transfer failed, 2 bad input.")

    @Argument(help: "The file to make; standard output when it is left out.")
    var file: String?

    @Option(help: "Where on the disk to begin; whole blocks.")
    var offset = ByteSize(0)

    @Option(help: "How much to read; up to the disk's end when left out.")
    var size: ByteSize?

    @OptionGroup var options: NVMeOptions

    func drive() throws -> Checking {
      let bench = try NVMeBench(options, isReadOnly: true)
      let disk = bench.namespace
      let block = UInt64(disk.blockByteCount)
      guard offset.byteCount % block == 0, offset.byteCount < disk.byteCount else {
        throw Failure.badInput(
          "--offset \(offset): the disk has \(disk.blockCount) blocks of \(block) bytes")
      }
      let left = disk.byteCount - offset.byteCount
      let wanted = size?.byteCount ?? left
      guard wanted > 0, wanted <= left else {
        throw Failure.badInput("--size \(wanted): the disk has \(left) bytes from there on")
      }
      let output: OpenFile?
      do throws(FileError) {
        output = try file.map { path throws(FileError) in try OpenFile(writing: path) }
      } catch {
        throw Failure.badInput(error.description)
      }
      var bar = ProgressBar(total: Int(wanted))
      var done: UInt64 = 0
      do throws(NVMePump.Stop) {
        var buffer = try Self.buffer(bench, options)
        while done < wanted {
          let count = min(wanted - done, UInt64(buffer.byteCount))
          let whole = Int((count + block - 1) / block * block)
          try Self.read(bench, &buffer, whole, (offset.byteCount + done) / block)
          try Self.write(buffer, Int(count), output, at: Int(done))
          done += count
          bar.show(Int(done))
        }
      } catch {
        bar.clear()
        throw Failure.stopped(error)
      }
      bar.clear()
      guard output != nil else { return bench.machine.checking }
      switch options.common.format {
      case .text: print("\(done) bytes from the disk's byte \(offset.byteCount) on")
      case .json: print("{\"bytes\":\(done),\"offset\":\(offset.byteCount)}")
      }
      return bench.machine.checking
    }

    private static func buffer(
      _ bench: NVMeBench, _ options: NVMeOptions
    ) throws(NVMePump.Stop) -> StreamingBuffer {
      do throws(DMAError) {
        return try StreamingBuffer(
          byteCount: 1 << 20, in: bench.platform, placement: bench.machine.placement)
      } catch { throw .disk(.dma(error)) }
    }

    private static func read(
      _ bench: NVMeBench, _ buffer: inout StreamingBuffer, _ count: Int, _ first: UInt64
    ) throws(NVMePump.Stop) {
      do throws(NVMeError) {
        try bench.queue.read(
          into: &buffer, bytes: 0..<count, fromBlock: first, of: bench.namespace)
      } catch { throw .disk(error) }
    }

    private static func write(
      _ buffer: borrowing StreamingBuffer, _ count: Int, _ output: OpenFile?, at offset: Int
    ) throws(NVMePump.Stop) {
      let bytes = buffer.bytes
      do throws(FileError) {
        // SAFETY: the pointer does not outlive the call; the buffer has that many bytes.
        try unsafe bytes.withUnsafeBytes { (all) throws(FileError) in
          let part = unsafe UnsafeRawBufferPointer(rebasing: all[..<count])
          if let output {
            try unsafe output.write(part, at: offset)
          } else {
            try unsafe StandardOutput.write(part)
          }
        }
      } catch { throw .file(error) }
    }
  }
#endif
