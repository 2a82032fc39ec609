import Boards

/// The board this program was built for.
public enum Board {
  /// Its name, as its folder is called.
  public static var name: String {
    // SAFETY: a C string constant of the board's.
    unsafe String(cString: board_name())
  }

  /// How a run ends, as whoever started it sees.
  ///
  /// Never 0, which a triple fault, a reset or an early end of the emulator gives; 99 is a trap.
  public enum Ending: UInt32 {
    case passed = 42
    case failed = 70
    case noMachine = 71
  }

  /// Ends the run.
  public static func end(_ ending: Ending) -> Never { board_exit(ending.rawValue) }
}
