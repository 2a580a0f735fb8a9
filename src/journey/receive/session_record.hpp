// receive/session_record.hpp: what was said and heard in a session, for the postmaster.                                  postconf(5), notify_classes
// Text     "In:  EHLO a" and "Out: 250 b", a line each; the arguments of AUTH are left out, and the middle of what is very long.
// Trouble  the class of a reply that refuses, as Postfix counts it. Mail that is taken makes up for what was before.
#pragma once

#include "handoff/notify_classes.hpp"

#include <string>
#include <string_view>
#include <utility>

namespace posthorn::receive {

class SessionRecord {
public:
    static constexpr std::size_t text_limit = 32 * 1024;

    explicit SessionRecord(const handoff::NotifyClasses& wanted) : wanted_(wanted) {}
    void heard(std::string_view command);
    /// A reply, perhaps of several lines; `by_rule`: a restriction or a Milter decided it. `state`: the command, as in the log.
    void decided(std::string_view reply, bool by_rule, std::string_view state);
    void said(std::string_view replies);
    /// What trouble there was; from here on there was none.
    handoff::NotifyClasses forgive() { return std::exchange(found_, {}); }
    /// It is not forgiven.
    void remember(const handoff::NotifyClasses& trouble) { found_ = found_.and_also(trouble); }

    /// Is there trouble of a class that the postmaster wants to hear of?
    bool worth_telling() const { return found_.with(wanted_).any(); }
    /// Nothing of it is the client's doing: many sessions at once would tell of the same.
    bool only_ours() const;
    bool bounced() const { return found_.with(wanted_).bounce; }
    const std::string& text() const { return text_; }

private:
    void add(std::string_view direction, std::string_view line);

    handoff::NotifyClasses wanted_, found_;
    std::string text_;
};

}  // namespace posthorn::receive
