// submit/input_text.hpp: what a program writes to sendmail, as lines with CRLF.                      sendmail(1), postconf(5)
// Begins   behind lines "From ..." and ">From ...", as mbox files have them in front: they are not of the message.
// Ends     at a line that is one dot (unless -i), at the end of the file. A last line without its end gets one.
// CR       sendmail_fix_line_endings: always - a CR before LF is part of the line end; strict - when it is so in the first line;
//          never - it is part of the line.
// Units    octets; pieces of any size in, whole lines out; memory is bounded by what is fed, not by the line.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::submit {

enum class FixLineEndings { always, strict, never };

class InputText {
public:
    InputText(FixLineEndings fix, bool dot_ends) : fix_(fix), dot_ends_(dot_ends) {}

    /// What can be said of these octets; the rest comes with the next. Nothing after the end.
    std::string feed(std::string_view octets);
    /// What is held back, at the end of the file.
    std::string finish();
    bool ended() const { return ended_; }

private:
    std::string take(std::string_view octets);
    void end_line(std::string& out);

    FixLineEndings fix_;
    bool dot_ends_;
    bool ended_ = false, cr_ = false, first_line_ = true, line_empty_ = true, only_dot_ = false;
    std::optional<bool> strip_;
    bool beginning_ = true, skipping_ = false;
    std::string begun_;                    // of the first line, while it may be one that is left out
};

}  // namespace posthorn::submit
