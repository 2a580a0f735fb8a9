#include "kumomta/policy.hpp"

#include <utility>

namespace posthorn::kumomta {

namespace {

Value taken(Value& file, std::string_view name)
{
    for (auto at = file.entries.begin(); at != file.entries.end(); ++at)
        if (at->name == name) {
            Value value = std::move(at->value);
            file.entries.erase(at);
            return value;
        }
    return {};
}

/// A block of shaping over what earlier files say of the same: replaced, or joined; rules of automation add up.
void add_block(Value& blocks, const Entry& entry)
{
    Value block = entry.value;
    Value rules = taken(block, "automation");
    const bool replaces = block.yes("replace_base");
    Value& known = blocks.at(entry.name, block.place);
    Value earlier = taken(known, "automation");
    if (replaces)
        known = Value::table(block.place);
    else
        rules.items.insert(rules.items.begin(), earlier.items.begin(), earlier.items.end());
    merge(known, block);
    if (rules.items.empty())
        return;
    rules.kind = Value::Kind::list;
    known.put("automation", std::move(rules));
}

}  // namespace

void add_sources(Policy& policy, Value file)
{
    merge(policy.sources, taken(file, "source"));
    merge(policy.pools, taken(file, "pool"));
}

void add_queues(Policy& policy, Value file) { merge(policy.queues, file); }

void add_shaping(Policy& policy, Value file)
{
    const Value providers = taken(file, "provider");
    for (const Entry& provider : providers.entries)
        add_block(policy.shaping.at("provider", providers.place), provider);
    for (const Entry& entry : file.entries)
        if (entry.value.is_table())
            add_block(policy.shaping, entry);
}

void add_domains(Policy& policy, Value file) { merge(policy.domains, file); }
void add_signing(Policy& policy, Value file) { merge(policy.signing, file); }

const Value& Call::first() const
{
    static const Value nothing;
    return arguments.empty() ? nothing : arguments.front();
}

}  // namespace posthorn::kumomta
