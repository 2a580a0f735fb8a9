// smtp/data.hpp: content between DATA and the final dot, and in BDAT chunks; in pieces of any size.
//                                                                          RFC 5321 2.3.8, 4.1.1.4, 4.5.2; RFC 3030
// Stored form  CRLF line ends, no dot-stuffing, last line ended; see README.md.
// Units    octets. None of these holds more than a few octets back between pieces: memory is the caller's buffer.
// Cost     two memchr per line and one copy per run of ordinary lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::smtp {

/// smtpd_forbid_bare_newline. `no`: LF ends a line like CRLF, also around the final dot. `normalize`: LF ends a line, but only CRLF.CRLF
/// ends the content, and another line of one dot is dropped. `note`: as normalize, and the caller logs bare_lf(). `reject`: as normalize, and
/// the caller refuses the message (smtpd_forbid_bare_newline_reject_code) where bare_lf() says so.
enum class BareLf : std::uint8_t { no, normalize, note, reject };
/// A CR that no LF follows: a space in its place (cleanup_replace_stray_cr_lf), or as it came.
enum class StrayCr : std::uint8_t { space, keep };

struct ContentOptions {
    BareLf bare_lf = BareLf::normalize;
    StrayCr stray_cr = StrayCr::space;
};

/// Lines of any kind of end become stored form. What DATA, BDAT and sendmail's input have in common.
class LineEnds {
public:
    explicit LineEnds(StrayCr stray_cr = StrayCr::space) : stray_cr_(stray_cr) {}
    /// Appends the stored form of `octets` to `out`; a CR at the end waits for the next piece.
    void feed(std::string_view octets, std::string& out);
    /// After the last piece: ends the last line where it is not.
    void finish(std::string& out);
    bool bare_lf() const { return bare_lf_; }

private:
    StrayCr stray_cr_;
    bool cr_ = false;         // a CR is held back
    bool line_open_ = false;  // octets after the last line end
    bool bare_lf_ = false;
};

/// The server's side of DATA: takes the dots off and finds the end.
class DataReader {
public:
    explicit DataReader(ContentOptions options = {}) : options_(options) {}

    /// Reads from the front of `octets`, removes what it has read, appends stored form to `out`. True: the final dot was
    /// read, and what remains of `octets` is the next command. An empty message (the dot at once) appends nothing.
    bool feed(std::string_view& octets, std::string& out);

    bool bare_lf() const { return bare_lf_; }
    bool stray_cr() const { return stray_cr_; }
    /// Octets of content as they came, dots and line ends included, the final dot's line not.
    std::uint64_t octets() const { return octets_; }

private:
    // What of the current line has been seen. start: nothing; dot: the leading dot (not content); dot_cr, cr: a CR after that, not yet judged.
    enum class State : std::uint8_t { start, dot, dot_cr, text, text_cr };
    void end_line(bool bare, std::string& out);
    void end_dot_line(bool bare);
    bool ends_content(bool bare) const;

    ContentOptions options_;
    State state_ = State::start;
    bool after_crlf_ = true;  // the line began after CRLF, or at the start
    bool bare_lf_ = false, stray_cr_ = false;
    std::uint64_t octets_ = 0;
};

/// The client's side: stored form in, what goes over the wire out.
class DataWriter {
public:
    /// `line_limit`: smtp_line_length_limit, octets of a line without its end; a longer one is broken by CRLF SPACE. 0: none.
    explicit DataWriter(std::size_t line_limit = 0) : line_limit_(line_limit == 1 ? 2 : line_limit) {}
    void feed(std::string_view octets, std::string& out);
    /// How many octets at the front go out as they are: whole lines, none with a dot in front, none over the limit. They are taken as fed; only
    /// the rest is to be. 0 amid a line.
    std::size_t pass(std::string_view octets) const;
    /// The end of the last line where it is missing, and the final dot.
    void finish(std::string& out);
    /// A line was over the limit.
    bool broke_line() const { return broke_line_; }

private:
    void put(std::string_view octets, std::string& out);

    std::size_t line_limit_;  // 0, or at least 2: a broken line has room for more than its leading space
    std::size_t column_ = 0;  // octets of the current line
    bool cr_ = false;         // a CR is held back
    bool broke_line_ = false;
};

/// Looks for a line over the limit, in pieces of any size.
class LongLines {
public:
    explicit LongLines(std::size_t line_limit) : line_limit_(line_limit) {}
    /// True: there was one.
    bool feed(std::string_view octets);

private:
    std::size_t line_limit_, column_ = 0;
};

/// Could stored content go over the wire as it is (then only "." CRLF is to follow)? No line begins with a dot, none is longer than the limit, the
/// last is ended.
bool goes_as_it_is(std::string_view content, std::size_t line_limit = 0);

/// Stored form to LF line ends, for mailboxes and pipes: appends; a CR at the end of `octets` waits in `held_cr`.
void append_with_lf(std::string_view octets, bool& held_cr, std::string& out);

}  // namespace posthorn::smtp
