#!/bin/busybox sh
# Called by udhcpc with what happened; puts a lease to use.
case $1 in
bound | renew)
    /sbin/ip address flush dev "$interface" scope global
    /sbin/ip address add "$ip/${mask:-24}" broadcast + dev "$interface"
    for gateway in $router; do /sbin/ip route replace default via "$gateway" dev "$interface"; done
    echo "$ip" >"/run/lease.$interface"
    ;;
deconfig) /sbin/ip link set "$interface" up ;;
esac
