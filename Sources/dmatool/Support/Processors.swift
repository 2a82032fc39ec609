#if CLI
  /// The processors this process may run on.
  enum Processors {
    /// How many there are: of a machine's, those that `taskset` or a container left.
    static var usable: Int {
      let status = (try? CommandFiles.read("/proc/self/status")) ?? ""
      for line in status.split(separator: "\n") where line.hasPrefix("Cpus_allowed:") {
        return line.dropFirst("Cpus_allowed:".count).reduce(0) { count, digit in
          count + (digit.hexDigitValue?.nonzeroBitCount ?? 0)
        }
      }
      return 1
    }
  }
#endif
