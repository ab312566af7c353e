/** What to look at when a server cannot be reached, by what the system says. @param text message of the failure */
export function lookAtWay(text: string): string {
  if (/getaddrinfo|ENOTFOUND|EAI_AGAIN/.test(text))
    return 'is the name of the host in url of the sink right, and is it known to the DNS of this machine?';
  if (/EPROTO|wrong version number/.test(text))
    return 'what listens there speaks no TLS: is the port that of HTTPS, or is url to begin with http:?';
  if (text.includes('ECONNREFUSED')) return 'is the server up, and does it listen at that address and port?';
  return 'is the server up, and can it be reached from here?';
}
