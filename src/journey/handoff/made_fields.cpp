#include "handoff/made_fields.hpp"

namespace posthorn::handoff {

awaitable<MadeFields> check_made_fields(Cleaner& cleaner, Envelope* envelope, milter::Mail& mail)
{
    MadeFields found;
    std::vector<std::string> fields;
    for (const milter::HeaderField& field : mail.header())
        if (field.from_filter)
            fields.push_back(field.text);
    auto checked = co_await cleaner.check_made(*envelope, std::move(fields));
    if (!checked) {
        found.refusal = std::move(checked).error();
        co_return found;
    }
    *envelope = std::move(checked->envelope);
    found.discard = checked->discard;
    auto next = checked->fields.begin();
    for (milter::HeaderField& field : mail.edit_header())
        if (field.from_filter && next != checked->fields.end())
            field = milter::HeaderField(std::move(*next++));
    std::erase_if(mail.edit_header(), [](const milter::HeaderField& field) { return field.text.empty(); });
    co_return found;
}

}  // namespace posthorn::handoff
