#include "receive/session_record.hpp"

#include "base/strings.hpp"
#include "smtp/command.hpp"

namespace posthorn::receive {

namespace {

using handoff::NotifyClasses;
using Class = bool NotifyClasses::*;

bool about(std::string_view reply, std::string_view what) { return reply.find(what) != reply.npos; }

/// What a restriction decided.
Class class_of_ruling(std::string_view reply)
{
    if (about(reply, "Temporary lookup failure"))
        return &NotifyClasses::data;
    return reply.substr(3) == " 4.3.5 Server configuration error" ? &NotifyClasses::software : &NotifyClasses::policy;
}

/// What the protocol, a limit or what is behind the session decided; null: nobody's fault, or said of elsewhere.
Class class_of(std::string_view reply, std::string_view state)
{
    const std::string_view code = reply.substr(0, 3), status = reply.substr(std::min<std::size_t>(4, reply.size()), 5);
    const bool of_content = state == "END-OF-MESSAGE";
    if (code == "503" && (about(reply, "send HELO/EHLO first") || about(reply, "access denied")))
        return &NotifyClasses::policy;
    if (code == "500" || code == "501" || code == "503" || code == "555")
        return &NotifyClasses::protocol;
    if (about(reply, "Temporary lookup"))
        return &NotifyClasses::data;
    if (status == "4.3.5")
        return &NotifyClasses::software;
    if (status == "4.3.0" || status == "4.3.1")
        return &NotifyClasses::resource;
    if (status == "5.4.0" || status == "5.4.6" || (code == "552" && of_content))
        return &NotifyClasses::bounce;                                // what comes by sendmail would go back to its sender
    if (code == "502" || code == "550" || code == "552" || (code.starts_with('5') && of_content))
        return &NotifyClasses::policy;
    return nullptr;
}

}  // namespace

void SessionRecord::heard(std::string_view command)
{
    add("In:  ", iequals(smtp::split_command(command).word, "AUTH") ? "AUTH (arguments are left out)" : command);
}

void SessionRecord::said(std::string_view replies)
{
    while (!replies.empty()) {
        const std::string_view line = replies.substr(0, replies.find_first_of("\r\n"));
        if (!line.empty())
            add("Out: ", line);
        replies.remove_prefix(std::min(line.size() + 1, replies.size()));
    }
}

void SessionRecord::decided(std::string_view reply, bool by_rule, std::string_view state)
{
    if (reply.size() > 3 && (reply.front() == '4' || reply.front() == '5'))
        if (const Class trouble = by_rule ? class_of_ruling(reply) : class_of(reply, state))
            found_.*trouble = true;
}

bool SessionRecord::only_ours() const
{
    const NotifyClasses told = found_.with(wanted_);
    return !told.policy && !told.protocol && !told.bounce;
}

void SessionRecord::add(std::string_view direction, std::string_view line)
{
    text_ += direction;
    append_printable(text_, line.substr(0, 1000));
    text_ += '\n';
    if (text_.size() <= text_limit)
        return;
    const std::size_t from = text_.find('\n', text_limit / 4) + 1, to = text_.find('\n', text_limit / 2) + 1;
    text_.replace(from, to - from, "(some lines are left out)\n");
}

}  // namespace posthorn::receive
