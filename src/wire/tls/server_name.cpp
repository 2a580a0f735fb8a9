// Which of several names a client wants to reach, before anything else is decided.                    RFC 6066 3
// OpenSSL offers two places for it. The later one cannot wait for an answer; this one stops the handshake and is asked again.
#include "tls/core.hpp"

namespace posthorn::tls {

int choice_index()
{
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

std::string server_name_in(std::span<const unsigned char> extension)
{
    constexpr std::size_t name_octets = 255;
    const auto number = [](std::span<const unsigned char> octets) { return static_cast<std::size_t>(octets[0]) << 8U | octets[1]; };
    if (extension.size() < 2 || number(extension) != extension.size() - 2)
        return {};
    auto list = extension.subspan(2);
    while (list.size() >= 3) {
        const std::size_t length = number(list.subspan(1));
        if (length > list.size() - 3)
            return {};
        const auto name = list.subspan(3, length);
        if (list[0] == TLSEXT_NAMETYPE_host_name && length > 0 && length <= name_octets)
            return {name.begin(), name.end()};
        list = list.subspan(3 + length);
    }
    return {};
}

int on_client_hello(SSL* ssl, int* alert, void*)
{
    auto* const choice = static_cast<NameChoice*>(SSL_get_ex_data(ssl, choice_index()));
    if (!choice || choice->state == NameChoice::State::settled)
        return SSL_CLIENT_HELLO_SUCCESS;
    if (choice->state == NameChoice::State::refused) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    const unsigned char* octets = nullptr;
    std::size_t length = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &octets, &length) == 1)
        choice->name = server_name_in({octets, length});
    choice->state = choice->name.empty() ? NameChoice::State::settled : NameChoice::State::asked;
    return choice->name.empty() ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_RETRY;
}

}  // namespace posthorn::tls
