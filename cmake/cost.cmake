# posthorn_cost(TEST): ctest begins with the tests that take longest, so that no core idles at the end. Roughly seconds, beside others on two cores that are
# shared: of compat_* and journeys in the release build, of the rest in the asan build. Where ctest has run before, it goes by what it measured itself.
set(POSTHORN_LONG_TESTS
    spool.crash 400  send.shelf 400  send 300  send.negative 250  send.early 100  spool.fault 300  spool.salvage 200  spool 100  receive 100
    compat_tools 240  journey.real_peers 120  compat_moving_in 75  compat_products 70  compat_postmap 105  compat_sites 82  compat_rewriting 80
    journey.verification 80  journey.tls 80  compat_restrictions 77  compat_postconf 74  journey.authentication 70  journey.reload 70  compat_proxy_filter 68
    journey.admin 65  journey.deliver_pipe 60  journey.deliver_mailbox 60  journey.kill 60)

function(posthorn_cost TEST)
  list(FIND POSTHORN_LONG_TESTS ${TEST} at)
  if(NOT at EQUAL -1)
    math(EXPR at "${at} + 1")
    list(GET POSTHORN_LONG_TESTS ${at} seconds)
    set_tests_properties(${TEST} PROPERTIES COST ${seconds})
    set_property(GLOBAL APPEND PROPERTY POSTHORN_LONG_TESTS ${TEST})
  endif()
endfunction()

# Behind all tests: each name above is one of them.
function(posthorn_costs_given)
  get_property(given GLOBAL PROPERTY POSTHORN_LONG_TESTS)
  foreach(word ${POSTHORN_LONG_TESTS})
    if(NOT word MATCHES "^[0-9]+$" AND NOT word IN_LIST given)
      message(SEND_ERROR "cmake/cost.cmake names ${word}: no such test asks for its cost")
    endif()
  endforeach()
endfunction()
