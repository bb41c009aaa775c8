#!/bin/sh
# provision-lab-simulated: answers as nvidia-smi does, about GPUs that /etc/provision-lab/gpus names and nobody has.
# Lines of that file: `driver VERSION`, `cuda VERSION`, `fail CODE MESSAGE`,
# `gpu UUID|NAME|MEMORY-MIB|COMPUTE|BUS[|PERSISTENCE|MIG|UNCORRECTED-ECC|THROTTLING|MODE|USED-MIB]`,
# `process UUID|PID|TYPE|NAME|MEMORY-MIB`.
set -f
driver= cuda= gpus= processes= newline='
'
while read -r word rest; do
    case $word in
    driver) driver=$rest ;;
    cuda) cuda=$rest ;;
    gpu) gpus=$gpus$rest$newline ;;
    process) processes=$processes$rest$newline ;;
    fail) echo "${rest#* }"; exit "${rest%% *}" ;;
    esac
done < /etc/provision-lab/gpus

mode=table fields= header=1 units=1 chosen= xml=
while [ $# -gt 0 ]; do
    case $1 in
    -L | --list-gpus) mode=list ;;
    -q | --query) mode=details ;;
    -x | --xml-format) xml=1 ;;
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
    memory.total) answer=$memory unit=MiB ;;
    memory.free) answer=$((memory - used)) unit=MiB ;;
    memory.used) answer=$used unit=MiB ;;
    utilization.gpu | utilization.memory) answer=0 unit=% ;;
    temperature.gpu) answer=31 ;;
    compute_cap) answer=$compute ;;
    compute_mode) answer=$compute_mode ;;
    persistence_mode) answer=$persistence ;;
    mig.mode.current | mig.mode.pending) answer=[$mig] ;;
    ecc.mode.current) answer=[N/A] ;;
    pci.bus_id | gpu_bus_id) answer=$bus ;;
    *) echo "Field \"$1\" is not a valid field to query."; echo; exit 2 ;;
    esac
    title=$1${unit:+ [$unit]}
    [ -z "$units" ] || answer=$answer${unit:+ $unit}
}

# Prints the processes of the GPU, or with $1 = lines of `fields`, as a query has them.
processes() {
    IFS=$newline
    for process in $processes; do
        IFS='|'
        set -- "$1" $process
        IFS=' '
        [ "$2" = "$uuid" ] || continue
        if [ "$1" = lines ]; then
            answer=$(echo ",$fields" | sed "s/,gpu_uuid/, $2/; s/,gpu_name/, $name/; s/,pid/, $3/; s/,process_name/, $5/; s/,name/, $5/; s/,used_gpu_memory/, $6${units:+ MiB}/; s/,used_memory/, $6${units:+ MiB}/")
            echo "${answer#, }"
        else
            echo "<process_info><pid>$3</pid><type>$4</type><process_name>$5</process_name>"
            echo "<used_memory>$6 MiB</used_memory></process_info>"
        fi
    done
}

# Prints one GPU as `nvidia-smi -q -x` does, the parts of it that say how the GPU is.
details() {
    echo "<gpu id=\"$bus\"><product_name>$name</product_name><persistence_mode>$persistence</persistence_mode>"
    echo "<mig_mode><current_mig>$mig</current_mig><pending_mig>$mig</pending_mig></mig_mode>"
    echo "<mig_devices>None</mig_devices><uuid>$uuid</uuid><minor_number>$index</minor_number>"
    echo "<pci><pci_bus_id>$bus</pci_bus_id></pci><clocks_throttle_reasons>"
    for reason in hw_slowdown hw_thermal_slowdown hw_power_brake_slowdown sw_thermal_slowdown; do
        active="Not Active"
        [ "$reason" != "$throttling" ] || active=Active
        echo "<clocks_throttle_reason_$reason>$active</clocks_throttle_reason_$reason>"
    done
    echo "</clocks_throttle_reasons><fb_memory_usage><total>$memory MiB</total><used>$used MiB</used>"
    echo "<free>$((memory - used)) MiB</free></fb_memory_usage><compute_mode>$compute_mode</compute_mode>"
    echo "<ecc_mode><current_ecc>Enabled</current_ecc><pending_ecc>Enabled</pending_ecc></ecc_mode><ecc_errors>"
    echo "<volatile><sram_uncorrectable>0</sram_uncorrectable><dram_uncorrectable>$ecc</dram_uncorrectable></volatile>"
    echo "</ecc_errors><remapped_rows><remapped_row_pending>No</remapped_row_pending>"
    echo "<remapped_row_failure>No</remapped_row_failure></remapped_rows><processes>"
    processes xml
    echo "</processes></gpu>"
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
if [ $mode = apps ] && [ -n "$header" ]; then echo "$fields" | sed 's/,/, /g'; fi
if [ $mode = details ]; then
    [ -n "$xml" ] || { echo "the simulated nvidia-smi knows -q only with -x"; exit 6; }
    echo '<?xml version="1.0" ?>'
    echo '<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">'
    echo "<!-- provision-lab-simulated -->"
    echo "<nvidia_smi_log><driver_version>$driver</driver_version><cuda_version>$cuda</cuda_version>"
    echo "<attached_gpus>$count</attached_gpus>"
fi
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
    persistence=${6:-Enabled} mig=${7:-N/A} ecc=${8:-0} throttling=${9:-} compute_mode=${10:-Default} used=${11:-0}
    IFS=' '
    case ,${chosen:-$index}, in
    *,"$index",* | *,"$uuid",*)
        found=1
        case $mode in
        list) echo "GPU $index: $name (UUID: $uuid)" ;;
        query) line answer ;;
        apps) processes lines ;;
        details) details ;;
        table) printf '| %3d  %-30s    | %16s     | %7dMiB / %7dMiB |\n' "$index" "$name" "$bus" "$used" "$memory" ;;
        esac ;;
    esac
    index=$((index + 1))
    IFS=$newline
done
if [ -z "$found" ]; then echo "No devices were found"; exit 6; fi
if [ $mode = details ]; then echo "</nvidia_smi_log>"; fi
if [ $mode = table ]; then
    echo "+-----------------------------------------+----------------------+----------------------+"
    echo "simulated by the lab of provision"
fi
