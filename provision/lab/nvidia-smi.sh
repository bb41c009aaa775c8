#!/bin/sh
# provision-lab-simulated: answers as nvidia-smi does, about GPUs that /etc/provision-lab/gpus names and nobody has.
# Lines of that file: `driver VERSION`, `cuda VERSION`, `gpu UUID|NAME|MEMORY-MIB|COMPUTE|BUS`, `fail CODE MESSAGE`.
set -f
driver= cuda= gpus= newline='
'
while read -r word rest; do
    case $word in
    driver) driver=$rest ;;
    cuda) cuda=$rest ;;
    gpu) gpus=$gpus$rest$newline ;;
    fail) echo "${rest#* }"; exit "${rest%% *}" ;;
    esac
done < /etc/provision-lab/gpus

mode=table fields= header=1 units=1 chosen=
while [ $# -gt 0 ]; do
    case $1 in
    -L | --list-gpus) mode=list ;;
    --query-gpu=*) mode=query fields=${1#*=} ;;
    --query-compute-apps=* | --query-accounted-apps=*) mode=apps fields=${1#*=} ;;
    --format=*)
        case ,${1#*=}, in *,noheader,*) header= ;; esac
        case ,${1#*=}, in *,nounits,*) units= ;; esac ;;
    -i | --id) chosen=$2; shift ;;
    -i=* | --id=*) chosen=${1#*=} ;;
    *) echo "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help."; exit 6 ;;
    esac
    shift
done

# Sets `answer` to the value of field $1, `title` to its name in the header.
look_up() {
    unit=
    case $1 in
    driver_version) answer=$driver ;;
    index) answer=$index ;;
    count) answer=$count ;;
    uuid | gpu_uuid) answer=$uuid ;;
    name | gpu_name) answer=$name ;;
    memory.total | memory.free) answer=$memory unit=MiB ;;
    memory.used) answer=0 unit=MiB ;;
    utilization.gpu | utilization.memory) answer=0 unit=% ;;
    temperature.gpu) answer=31 ;;
    compute_cap) answer=$compute ;;
    compute_mode) answer=Default ;;
    persistence_mode) answer=Enabled ;;
    mig.mode.current | mig.mode.pending) answer=[N/A] ;;
    ecc.mode.current) answer=[N/A] ;;
    pci.bus_id | gpu_bus_id) answer=$bus ;;
    *) echo "Field \"$1\" is not a valid field to query."; echo; exit 2 ;;
    esac
    title=$1${unit:+ [$unit]}
    [ -z "$units" ] || answer=$answer${unit:+ $unit}
}

# Prints one line of a query: of `answer` or of `title`, as $1 says.
line() {
    text=
    IFS=", "
    for field in $fields; do
        IFS=' '
        look_up "$field"
        [ "$1" = title ] && answer=$title
        text=$text${text:+, }$answer
    done
    echo "$text"
}

count=0
IFS=$newline
for gpu in $gpus; do count=$((count + 1)); done
if [ $count = 0 ]; then echo "No devices were found"; exit 6; fi
if [ $mode = apps ]; then [ -z "$header" ] || echo "$fields" | sed 's/,/, /g'; exit 0; fi
index=0 uuid= name= memory= compute= bus=
if [ $mode = query ] && [ -n "$header" ]; then line title; fi
if [ $mode = table ]; then
    echo "+---------------------------------------------------------------------------------------+"
    printf '| NVIDIA-SMI %-18s Driver Version: %-14s CUDA Version: %-8s |\n' "$driver" "$driver" "$cuda"
    echo "|-----------------------------------------+----------------------+----------------------+"
fi
found=
IFS=$newline
for gpu in $gpus; do
    IFS='|'
    set -- $gpu
    uuid=$1 name=$2 memory=$3 compute=$4 bus=$5
    case ,${chosen:-$index}, in
    *,"$index",* | *,"$uuid",*)
        found=1
        case $mode in
        list) echo "GPU $index: $name (UUID: $uuid)" ;;
        query) line answer ;;
        table) printf '| %3d  %-30s    | %16s     | %7dMiB / %7dMiB |\n' "$index" "$name" "$bus" 0 "$memory" ;;
        esac ;;
    esac
    index=$((index + 1))
    IFS=$newline
done
if [ -z "$found" ]; then echo "No devices were found"; exit 6; fi
if [ $mode = table ]; then
    echo "+-----------------------------------------+----------------------+----------------------+"
    echo "simulated by the lab of provision"
fi
