#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers

  /// `dmatool nvme`: disks.
  struct NVMeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "nvme", abstract: "Drives an NVMe controller: a disk you can use.",
      discussion: """
        The disk is a raw image file; `truncate -s 1G disk.img` makes an empty one. The driver's \
        source is the same on every machine and with every mapping.
        """,
      subcommands: [
        NVMeIdentifyCommand.self, NVMeReadCommand.self, NVMeWriteCommand.self,
        NVMeCopyCommand.self, NVMeBenchCommand.self,
      ])
  }

  /// What all verbs of `nvme` take.
  struct NVMeOptions: ParsableArguments {
    @OptionGroup(title: "Machine and mapping") var common: MachineOptions

    @Option(help: "The file that holds the disk.")
    var image: String?

    @Flag(help: "Open the image read-only: the disk takes no writes.")
    var readOnly = false

    @Option(help: "How many commands run at once.")
    var depth = 32

    func validate() throws {
      guard (1...1024).contains(depth) else {
        throw ValidationError("--depth takes 1 to 1024 commands, not \(depth)")
      }
    }
  }

  /// Numbers and texts for people and programs.
  enum Output {
    /// A text as JSON has it.
    static func quoted(_ text: String) -> String {
      var result = "\""
      for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case _ where scalar.value < 0x20:
          let digits = String(scalar.value, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: result.unicodeScalars.append(scalar)
        }
      }
      return result + "\""
    }

    /// Seconds with three digits behind the point.
    static func seconds(_ nanoseconds: UInt64) -> String {
      let milliseconds = (nanoseconds + 500_000) / 1_000_000
      let rest = String(milliseconds % 1000)
      return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }
  }

  extension Failure {
    /// How a verb ends when moving bytes failed.
    static func stopped(_ stop: NVMePump.Stop) -> any Error {
      switch stop {
      case .disk(let error): failed(error.description)
      case .file(let error): failed(error.description)
      }
    }
  }
#endif
