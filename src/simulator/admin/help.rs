//! `GET /_simulator/`

const TEXT: &str = "\
teams-graph-operator simulator: a stand-in for Microsoft Entra and Microsoft Graph, and for PBXs. Not their
makers' code or service.

Stands in for
  POST /{tenant}/oauth2/v2.0/token                       client secret, certificate, federated assertion; password and
                                                         refresh_token for people
  GET  /{tenant}/v2.0/.well-known/openid-configuration   also for tenant 'common'
  GET  /{tenant}/discovery/v2.0/keys
  GET  /metadata/identity/oauth2/token, /msi/token       managed identity
  /v1.0/subscriptions, /v1.0/subscriptions/{id}, /v1.0/subscriptions/{id}/reauthorize
  GET  what docs/simulator.md lists: objects, lists, delta queries, presence
  POST /v1.0/users/{id}/presence/setPresence, clearPresence, setUserPreferredPresence, clearUserPreferredPresence

  GET  /PBX0/APPS/websocket, /{pbx}/PBX0/APPS/websocket  App WebSocket of an innovaphone PBX: a protocol fake; app 'teams',
                                                         password 'simulator-password'

  /com.broadsoft.xsi-actions/…, /com.broadsoft.xsi-events/…, /com.broadsoft.async/…, and below /{xsp}
                                                         Xsi of BroadWorks: a protocol fake with XSPs 'xsp1' and 'xsp2';
                                                         'admin@example.com', 'simulator-password'

Admin (JSON)
  GET  /_simulator/healthz
  GET|PUT /_simulator/clock                {offsetSeconds?, rate?}
  POST /_simulator/clock/advance           {seconds}
  GET  /_simulator/subscriptions?all=true  with clientState and history
  GET  /_simulator/subscriptions/summary   how many; cheap, however many there are
  DELETE /_simulator/subscriptions/{id}    gone, and nobody is told
  POST /_simulator/events                  {resource, changeType, tenantId?, resourceData?, count?, batch?, badItem?,
                                            spelling?: standard|odd|oddWithoutClientState,
                                            flaw?: noToken|wrongAudience|wrongCaller|expiredToken|forgedToken|
                                            badSignature (rich only)} -> ids of notifications
  POST|PUT /_simulator/objects             {collection, object, changeType?, tenantId?, silent?}: kept, and an event;
                                           deleted, or object with \"@removed\": {reason}: gone
  POST /_simulator/users                   the same for users, without collection
  POST /_simulator/people                  {count, first?, prefix?, domain?, licensed?, client?: {availability, activity},
                                           tenantId?} -> [{id, userPrincipalName}]; nobody is told
  GET  /_simulator/people/{id}             sessions, choice and by whom, what shows; id or principal name, here and below
  GET  /_simulator/people/owned            those for whom an app keeps a session or a choice
  GET  /_simulator/people/writes?since=N   what apps wrote or tried to: {seq, time, realMs, user, app, operation, body,
                                           status}
  PUT  /_simulator/people/{id}/client      {availability, activity} of the Teams client, or null: none is open; what is put here
                                           or below is answered with when it happened, {realMs}
  PUT  /_simulator/people/{id}/choice      {availability, activity, seconds?} that the person chooses, or null: none
  PUT  /_simulator/people/{id}/outOfOffice text of the automatic reply, or null
  PUT  /_simulator/people/{id}/account     {password, mfa?, expired?}: may sign in
  PUT  /_simulator/people/{id}/licence     {servicePlanId?, capabilityStatus?}, or null: none; delta queries do not tell
  GET|PUT /_simulator/pbx                  innovaphone: {domain?, apps?: [{name, password, apis}], pbxs?: [{name, manners?}]};
                                           the first one is the master; GET shows connections, calls, violations as well
  POST /_simulator/pbx/users               {count, first?, prefix?, loc?} or [{guid?, h323, cn?, dn?, e164?, loc?, email?,
                                           pseudo?, grps?, down?, entries?}] -> guids
  GET|DELETE /_simulator/pbx/users/{user}  by guid, h323 or number
  PUT  /_simulator/pbx/users/{user}/entries  {contact, activity?, note?, status?}; DELETE …?contact=C
  PUT  /_simulator/pbx/users/{user}/up     true or false: presence is known or not
  POST /_simulator/pbx/users/{user}/calls  {state: setup|ringing|connected|held|disconnecting|parked|number, conference?}
                                           -> {call, realMs}
  PUT|DELETE /_simulator/pbx/calls/{call}  {state} -> {realMs}
  PUT  /_simulator/pbx/pbxs/{name}/manners {pbxInfo?, keepAlive?, idleSeconds?, challenge?, unlicensed?, withoutSrc?,
                                           stateInUpdates?, contacts?, emptyRemoves?, halfOpen?, unreachable?}
  POST /_simulator/pbx/pbxs/{name}/drop    its connections break
  POST /_simulator/pbx/pbxs/{name}/say     any message, to all who are logged in
  GET  /_simulator/pbx/writes?since=N      what apps wrote: {seq, guid, h323, contact, activity, note, realMs}
  GET|PUT /_simulator/xsi                  BroadWorks: {username?, password?, serviceProvider?, xsps?, manners?}; GET shows
                                           channels, subscriptions, violations as well
  PUT  /_simulator/xsi/manners             {grantedSeconds?, heartbeatMs?, heartbeatLimitMs?, ackLimitMs?, pieceBytes?, sticky?,
                                           providerSnapshots?, silent?, down?: [xsp], refusing?: [xsp]}
  POST /_simulator/xsi/users               {count, first?, prefix?, domain?} or [{id, password?, number?, dnd?, ringSplash?,
                                           withoutDnd?, devices?: [type]}]
  GET  /_simulator/xsi/users/{user}        do not disturb, calls
  PUT  /_simulator/xsi/users/{user}/dnd    true or false
  POST /_simulator/xsi/users/{user}/calls  {outgoing?} -> {call}
  PUT|DELETE /_simulator/xsi/calls/{call}  {state: answered|held|retrieved}
  POST /_simulator/xsi/drop                {how: terminate|forget|break, xsp?}: channels end
  GET  /_simulator/xsi/writes?since=N      what clients wrote: {seq, user, doNotDisturb, realMs}
  GET|PUT /_simulator/portal/apps          apps as administrators see them: [{appId, tenantId?, registered?, principal?,
                                           accountEnabled?, disabledByMicrosoftStatus?, roles?, passwordCredentials?,
                                           keyCredentials?: [{displayName, endDateTime}]}]; others are known from their sign-in
  GET|PUT /_simulator/portal/services      Microsoft's service health: [{service, status, issues?: [{id, isResolved, …}]}]
  GET|PUT /_simulator/webex                {token?, scopes?, subscribers?: [{userId, spEnterpriseId?, status, lastStatusChange,
                                           errors?}], components?: [{name, status, isGroup?}], incidents?, spoiled?,
                                           spoiledTimes?, continuesAt?}; the API is at /webex/v1, the status page at /webex/status
  GET|PUT /_simulator/pexip                Pexip Infinity: {username?, password?, token?, manners?}; PUT: all is well again
  PUT  /_simulator/pexip/manners           {times?: mixed|offset|micro|whole, maxPage?, maxRequests?, loginPage?, sso?, truncate?,
                                           hugeBytes?, nextOrigin?, wrongTotal?, shifts?, denied?: [resource], missing?: [resource]}
  GET|PUT|POST /_simulator/pexip/objects/{namespace}/{resource}
                                           its objects: PUT all, POST changes by id; times may be \"now-5m\"
  POST /_simulator/pexip/calls             {count?, alias?, reason?, service?, ended?}: calls that ended
  POST /_simulator/callRecords             the same for call records
  POST /_simulator/deltas/forget           {collection?, tenantId?}: tokens made so far are refused
  POST /_simulator/messages                {chatId, id?, changeType?, tenantId?}: an event
  POST /_simulator/lifecycle               {subscriptionId, event: reauthorizationRequired|subscriptionRemoved|missed}
  GET  /_simulator/notifications           every notification with its attempts
  GET  /_simulator/notifications/summary   {sent, acknowledged, pending, dropped}
  GET|DELETE /_simulator/endpoints         hosts that are slow or in the drop state
  GET|POST|DELETE /_simulator/faults       {match: {method?, pathContains?, clientId?}, action, times?}, one or a list;
                                           action: {type: status, status, retryAfter?, code?, message?}
                                           {type: delay, ms} {type: timeout, ms?} {type: reset} {type: lostAnswer}
  GET|PUT /_simulator/directory            {tenants}
  PUT  /_simulator/apps/{clientId}/roles|secrets|certificates|disabled
  GET|PUT /_simulator/settings             what is left out stays
  GET  /_simulator/requests?since=N        log of the latest 10000 requests
  GET  /_simulator/requests/summary        how many since the start: {\"METHOD route\": {status: count}}
  GET|DELETE /_simulator/violations        rules broken that Graph does not enforce
  GET|POST|PUT|DELETE /_simulator/sink     demo sink; PUT {status, delayMs}
  POST /_simulator/reset                   back to how it started
";

pub async fn text() -> &'static str {
    TEXT
}
