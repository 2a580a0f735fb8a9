// handoff/waits.hpp: every wait of a message or an address has a name. This is the list of them: who makes something wait adds a line, and
// `posthorn why` says it.
// Numbers  travel in frames: only added, never reused.
// Texts    {transport}, {id}, {order}: the transport's name, the queue id, the words of an operator's order. `setting`: the one thing in the configuration that would change it, empty
//          where none would; `now`: the command that ends the wait at once, empty where none does.
#pragma once

#include <cstdint>
#include <string_view>

namespace posthorn::handoff {

enum class Wait : std::uint8_t {
    nothing = 0,
    delivery = 1,
    turn = 2,
    window = 3,
    site_rate = 4,
    transport_rate = 5,
    process_limit = 6,
    dead_site = 7,
    dead_transport = 8,
    retry = 9,
    hold = 10,
    route = 11,
    room = 12,
    active_limit = 13,
    reunion = 14,
    settling = 15,
    probe = 16,
    told_to_wait = 17,
    expiry = 18,
    silence = 19,
    ceiling = 20,
    pace = 21,
    order = 22,
    moving = 23,
    standby = 24,
    release = 25,
};

struct WaitName {
    Wait wait;
    std::string_view name, says, setting, now;
};

// clang-format off
inline constexpr WaitName wait_names[] = {
    {Wait::nothing,        "nothing",             "nothing: it goes on at once",                                                    "", ""},
    {Wait::delivery,       "delivery",            "a delivery under way: a process of the transport has it",                        "smtp_data_done_timeout and the other timeouts of the transport", ""},
    {Wait::turn,           "turn",                "its turn: other mail goes before it, one request of each message at a time",     "{transport}_destination_concurrency_limit", ""},
    {Wait::window,         "concurrency-window",  "the end of a delivery to its site, which takes no more at once now",             "{transport}_destination_concurrency_limit", ""},
    {Wait::site_rate,      "rate-delay",          "the pause between deliveries to its site",                                       "{transport}_destination_rate_delay", ""},
    {Wait::transport_rate, "transport-rate-delay","the pause between deliveries of its transport",                                  "{transport}_transport_rate_delay", ""},
    {Wait::process_limit,  "process-limit",       "the end of another delivery of its transport, which has as many as it may",      "the process limit of {transport} in master.cf", ""},
    {Wait::dead_site,      "dead-site",           "its site, which could not be reached and is left alone for a while",             "minimal_backoff_time", "postqueue -i {id}"},
    {Wait::dead_transport, "dead-transport",      "its transport, of which no process answers",                                     "transport_retry_time", "postqueue -i {id}"},
    {Wait::retry,          "retry-time",          "the time of its next try: the last one failed for now",                          "maximal_backoff_time, minimal_backoff_time", "postqueue -i {id}"},
    {Wait::hold,           "hold",                "an operator: it is on hold",                                                     "", "postsuper -H {id}"},
    {Wait::route,          "route",               "the resolver's answer where it goes",                                            "transport_maps, virtual_alias_maps and the tables they name", ""},
    {Wait::room,           "room-in-delivery",    "room in the delivery processes, which hold as much content as they may",         "", ""},
    {Wait::active_limit,   "active-limit",        "room in the active queue",                                                       "qmgr_message_active_limit, qmgr_message_recipient_limit", ""},
    {Wait::reunion,        "reunion",             "the delivery processes of before the restart of qmgr, which may have delivered it", "", ""},
    {Wait::settling,       "settling",            "the disk, which is being told of the last verdict",                              "", ""},
    {Wait::probe,          "probe",               "the answer of the next host to a probe that is under way",                       "address_verify_poll_count, address_verify_poll_delay", ""},
    {Wait::told_to_wait,   "deferred-transport",  "an operator: its transport is in defer_transports",                              "defer_transports", "postqueue -f"},
    {Wait::silence,        "silence",             "the time for which its servers asked to be left alone",                           "smtp_peer_rules (reply ... suspend)", "postqueue -i {id}"},
    {Wait::ceiling,        "ceiling",             "the end of a delivery to its servers, which take no more at once",               "smtp_peer_rules (host ... sessions)", ""},
    {Wait::pace,           "pace",                "the pause between mails that its servers ask for",                               "smtp_peer_rules (host ... rate)", ""},
    {Wait::order,          "order",               "an operator, who ordered that for its destination",                              "", "posthorn resume {order}"},
    {Wait::moving,         "moving",              "the other instance that it is being handed to: is it there?",                    "", "repeat posthorn hand-over; or, where that queue is lost: posthorn hand-over --take-back"},
    {Wait::standby,        "standby",             "the copy of the queue on another machine, without which nothing is begun",       "queue_standby_required", "posthorn standby"},
    {Wait::release,        "release-time",        "the time that its sender chose (FUTURERELEASE, scheduling_header)",              "", "postqueue -i {id}"},
    {Wait::expiry,         "expiry",              "its return to the sender: it was forced to expire",                              "", ""},
};
// clang-format on

/// A number that is not known here (of a newer process) is "nothing" by no name of ours.
constexpr const WaitName& name_of(Wait wait)
{
    for (const WaitName& one : wait_names)
        if (one.wait == wait)
            return one;
    return wait_names[0];
}

}  // namespace posthorn::handoff
